import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Database } from 'marbledb'
import { collect, withCode, withDatabase } from '../helpers.js'

describe('StateBackend', () => {
  let database: Database
  beforeEach(async () => {
    database = await Database.open(':memory:')
  })
  afterEach(() => database.close())

  it('gives back what was put, as real Buffers of their own', () => {
    const state = database.state('s')
    state.put('a', 'text')
    state.put(Buffer.from([0, 255, 0]), Buffer.from([1, 2, 3]))
    state.put('empty', '')
    const value = state.get('a')
    assert.ok(Buffer.isBuffer(value))
    assert.deepEqual(value, Buffer.from('text'))
    assert.deepEqual(state.get(Buffer.from([0, 255, 0])), Buffer.from([1, 2, 3]))
    assert.deepEqual(state.get('empty'), Buffer.alloc(0))
    assert.equal(state.get('missing'), undefined)
    assert.equal(state.getString('missing'), undefined)
    assert.equal(state.exists('empty'), true)
    value.fill(0)
    assert.equal(state.getString('a'), 'text')
  })

  it('values read stay as they were while thousands of others are read', () => {
    const state = database.state('s')
    for (let i = 0; i < 3000; i++) state.put(`k${i}`, `value-${i}-`.padEnd(i % 200, 'x'))
    const values = Array.from({ length: 3000 }, (_, i) => state.get(`k${i}`))
    for (const [i, value] of values.entries()) assert.equal(value?.toString(), `value-${i}-`.padEnd(i % 200, 'x'))
  })

  it('reads values larger than a slab', async () => {
    const state = database.state('s')
    for (const size of [8191, 8192, 8193, 65_536, 1_000_000]) {
      const value = Buffer.alloc(size, size % 251)
      state.put('big', value)
      assert.deepEqual(state.get('big'), value)
      assert.deepEqual(await state.getAsync('big'), value)
      assert.deepEqual(state.multiGet(['big'])[0], value)
    }
  })

  it('takes a string and its UTF-8 bytes for one key', () => {
    const state = database.state('s')
    state.put('Łódź 😀', '1')
    assert.equal(state.getString(Buffer.from('Łódź 😀')), '1')
    const long = 'ż'.repeat(700)
    state.put(long, long)
    assert.equal(state.getString(Buffer.from(long)), long)
  })

  it('tells a key with a real U+FFFD from one with a lone surrogate', () => {
    const state = database.state('s')
    state.put('a\uFFFDb', '1')
    assert.equal(state.getString('a\uFFFDb'), '1')
    assert.throws(() => state.put('a\uD800b', '1'), TypeError)
    assert.throws(() => state.get('a\uDC00'), TypeError)
    assert.throws(() => state.put('k', '\uD800'), TypeError)
  })

  it('refuses keys and values of other types', () => {
    const state = database.state('s')
    for (const key of [undefined, null, 5, {}, [], new Uint16Array(1)]) {
      assert.throws(() => state.get(key as never), TypeError)
      assert.throws(() => state.put(key as never, 'v'), TypeError)
      assert.throws(() => state.put('k', key as never), TypeError)
    }
    assert.throws(() => state.put('x'.repeat(70_000), 'v'), withCode('MARBLE_TOO_LARGE'))
  })

  it('deletes keys and half-open ranges', () => {
    const state = database.state('s')
    state.putMany(['a', 'b', 'c', 'd'].map((key): [string, string] => [key, key]))
    state.delete('d')
    state.delete('never there')
    state.deleteRange('a', 'c')
    state.deleteRange('z', 'a')
    assert.deepEqual(
      [...state.scan({ keys: 'utf8' })].map(([key]) => key),
      ['c'],
    )
    state.clear()
    assert.deepEqual([...state.scan()], [])
    state.put('again', '1')
    assert.equal(state.getString('again'), '1')
  })

  it('scans ranges in both directions, by sync and async iteration', async () => {
    const state = database.state('s')
    const keys = Array.from({ length: 2000 }, (_, i) => `key-${String(i).padStart(5, '0')}`)
    state.putMany(keys.map((key): [string, string] => [key, `v${key}`]))
    const cases = [
      [{}, keys],
      [{ gte: keys[10], lt: keys[20] }, keys.slice(10, 20)],
      [{ gt: keys[10], lte: keys[20] }, keys.slice(11, 21)],
      [{ gte: keys[1900], reverse: true }, keys.slice(1900).reverse()],
      [{ limit: 7 }, keys.slice(0, 7)],
      [{ limit: 0 }, []],
      [{ reverse: true, limit: 3, lt: keys[5] }, [keys[4], keys[3], keys[2]]],
      [{ gt: keys[5], lt: keys[5] }, []],
      [{ lt: '' }, []],
    ] as const
    for (const [options, expected] of cases) {
      const sync = [...state.scan({ ...options, keys: 'utf8' })]
      assert.deepEqual(
        sync.map(([key]) => key),
        expected,
        JSON.stringify(options),
      )
      assert.deepEqual(await collect(state.scan({ ...options, keys: 'utf8' }) as AsyncIterable<[string, Buffer]>), sync)
      for (const [key, value] of sync) assert.equal(value.toString(), `v${key}`)
    }
    assert.throws(() => state.scan({ gt: 'a', gte: 'b' }), TypeError)
    assert.throws(() => state.scan({ gtee: 'a' } as never), /did you mean 'gte'/)
  })

  it('a scan sees the state as it was at the call', () => {
    const state = database.state('s')
    state.put('a', '1')
    const scan = state.scan({ keys: 'utf8' })
    state.put('b', '2')
    state.delete('a')
    assert.deepEqual(
      [...scan].map(([key]) => key),
      ['a'],
    )
    assert.deepEqual(
      [...state.scan({ keys: 'utf8' })].map(([key]) => key),
      ['b'],
    )
  })

  it('an aborted async scan and getAsync reject with AbortError', async () => {
    const state = database.state('s')
    state.put('a', '1')
    const aborted = AbortSignal.abort()
    await assert.rejects(state.getAsync('a', { signal: aborted }), { name: 'AbortError', code: 'MARBLE_ABORTED' })
    await assert.rejects(collect(state.scan({ signal: aborted }) as AsyncIterable<unknown>), { name: 'AbortError' })
  })

  it('reads with a snapshot what was there then', async () => {
    const state = database.state('s')
    state.put('a', '1')
    const snapshot = database.snapshot()
    state.put('a', '2')
    state.put('b', '3')
    assert.equal(state.getString('a', { snapshot }), '1')
    assert.equal(state.get('b', { snapshot }), undefined)
    assert.deepEqual(state.multiGet(['a', 'b'], { snapshot }), [Buffer.from('1'), undefined])
    assert.deepEqual(await state.getAsync('a', { snapshot }), Buffer.from('1'))
    assert.deepEqual(
      [...state.scan({ keys: 'utf8', snapshot })].map(([key]) => key),
      ['a'],
    )
    snapshot.close()
    snapshot.close()
    assert.throws(() => state.get('a', { snapshot }), withCode('MARBLE_CLOSED'))
  })

  it('encodes values, and remembers how', async () => {
    await withDatabase(async db => {
      const json = db.state<{ a: number[] }>('j', { valueEncoding: 'json' })
      json.put('k', { a: [1, 2] })
      assert.deepEqual(json.get('k'), { a: [1, 2] })
      assert.deepEqual(db.state('j').get('k'), { a: [1, 2] })
      assert.throws(() => db.state('j', { valueEncoding: 'utf8' }), withCode('MARBLE_INCOMPATIBLE', /json/))
      const text = db.state<string>('t', { valueEncoding: 'utf8' })
      text.put('k', 'żółw')
      assert.equal(text.get('k'), 'żółw')
      assert.deepEqual([...text.scan({ keys: 'utf8' })], [['k', 'żółw']])
      const v8 = db.state<Map<string, Date>>('v', { valueEncoding: 'v8' })
      const value = new Map([['a', new Date(5)]])
      v8.put('k', value)
      assert.deepEqual(v8.get('k'), value)
      const codec = { encode: (n: unknown) => Buffer.from([Number(n)]), decode: (b: Uint8Array) => b[0] }
      const custom = db.state<number>('c', { valueEncoding: codec })
      custom.put('k', 7)
      assert.equal(custom.get('k'), 7)
      assert.throws(() => db.state('c'), withCode('MARBLE_INCOMPATIBLE', /codec/))
      assert.throws(() => db.state('m', { valueEncoding: 'msgpack' }), withCode('MARBLE_NOT_SUPPORTED'))
      assert.throws(() => json.put('k', undefined as never), TypeError)
    })
  })

  it('agrees with a sorted map under random operations, also through flush', async () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 4 }).map(bytes => Buffer.from(bytes.map(byte => byte % 3)))
    const operation = fc.oneof(
      fc.record({ op: fc.constant('put' as const), key, value: fc.uint8Array({ maxLength: 20 }) }),
      fc.record({ op: fc.constant('delete' as const), key }),
      fc.record({ op: fc.constant('deleteRange' as const), key, to: key }),
      fc.record({ op: fc.constant('flush' as const) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async operations => {
        await withDatabase(async db => {
          const state = db.state('s')
          const model = new Map<string, Buffer>()
          const name = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
          for (const step of operations) {
            if (step.op === 'put') {
              state.put(step.key, step.value)
              model.set(name(step.key), Buffer.from(step.value))
            } else if (step.op === 'delete') {
              state.delete(step.key)
              model.delete(name(step.key))
            } else if (step.op === 'deleteRange') {
              state.deleteRange(step.key, step.to)
              for (const k of [...model.keys()]) if (k >= name(step.key) && k < name(step.to)) model.delete(k)
            } else await db.flush()
          }
          const expected = [...model].sort(([a], [b]) => (a < b ? -1 : 1))
          const entries = [...state.scan()]
          assert.deepEqual(
            entries.map(([k, v]) => [name(k), v]),
            expected,
          )
          assert.deepEqual([...state.scan({ reverse: true })], [...entries].reverse())
          for (const [k, v] of expected) assert.deepEqual(state.get(Buffer.from(k, 'hex')), v)
        })
      }),
      { numRuns: 25 },
    )
  })
})
