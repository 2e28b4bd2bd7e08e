// Compression from TypeScript: created, written, read in every way, told of, opened by apache-arrow.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  Bool,
  CompressionType,
  compressionRegistry,
  Field,
  Float64,
  Int64,
  Schema,
  tableFromIPC,
  Utf8,
} from 'apache-arrow'
import { Database, type Table } from 'marbledb'
import { collect, temporaryDirectory, withCode } from '../helpers.js'

const schema = new Schema([
  new Field('id', new Int64(), false),
  new Field('city', new Utf8(), true),
  new Field('px', new Float64(), true),
  new Field('live', new Bool(), true),
])
const kRows = 20_000
const rowOf = (i: number): { id: bigint; city: string | null; px: number; live: boolean } => ({
  id: BigInt(i),
  city: i % 11 === 0 ? null : `city number ${i % 50} of the west`,
  px: Math.floor(i / 100) / 4,
  live: i % 2 === 0,
})

/** LZ4's frame format, as far as Arrow writes it: independent or linked blocks, no dictionary. */
function decodeLz4(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  assert.equal(view.getUint32(0, true), 0x184d2204)
  const flags = frame[4]!
  let at = 4 + 2 + (flags & 8 ? 8 : 0) + 1
  const out: number[] = []
  for (;;) {
    const size = view.getUint32(at, true)
    at += 4
    if (size === 0) return Uint8Array.from(out)
    const end = at + (size & 0x7fffffff)
    if (size >>> 31) {
      while (at < end) out.push(frame[at++]!)
    }
    while (at < end) {
      const token = frame[at++]!
      const more = (length: number): number => {
        if (length !== 15) return length
        let byte: number
        do length += byte = frame[at++]!
        while (byte === 255)
        return length
      }
      for (let literals = more(token >> 4); literals > 0; literals--) out.push(frame[at++]!)
      if (at >= end) break
      const back = frame[at]! | (frame[at + 1]! << 8)
      at += 2
      for (let match = more(token & 15) + 4; match > 0; match--) out.push(out[out.length - back]!)
    }
    if (flags & 16) at += 4
  }
}

describe('Compressed tables', () => {
  let directory: { path: string; remove(): void }
  let database: Database
  beforeEach(async () => {
    directory = temporaryDirectory()
    database = await Database.open(join(directory.path, 'db'))
  })
  afterEach(async () => {
    await database.close()
    directory.remove()
  })

  async function fill(name: string, options: object): Promise<Table> {
    const table = await database.createTable(name, { schema, primaryKey: ['id'], ...options })
    await table.insert(Array.from({ length: kRows }, (_, i) => rowOf(i)))
    await database.flush()
    return table
  }
  const sizes = (name: string): { sstBytes: number; sstUncompressedBytes: number } =>
    (database.metrics().tables as Record<string, { sstBytes: number; sstUncompressedBytes: number }>)[name]!

  it('read as tables without compression do, before and after they are opened again', async () => {
    const kinds: [string, object][] = [
      ['none', { compression: 'none' }],
      ['lz4', { compression: 'lz4' }],
      ['zstd', { compression: 'zstd' }],
      ['levels', { compressionPerLevel: ['zstd', 'lz4'] }],
      ['series', { preset: 'timeSeries', compression: 'zstd' }],
    ]
    for (const [name, options] of kinds) await fill(name, options)
    const check = async (): Promise<void> => {
      for (const [name] of kinds) {
        const table = database.table(name)
        for (let i = 0; i < kRows; i += 997) assert.deepEqual(table.get([BigInt(i)]), rowOf(i))
        assert.equal(table.get([BigInt(kRows)]), undefined)
        assert.deepEqual(
          table.getMany([[5n], [BigInt(kRows + 1)], [6n]]).map(row => row?.id),
          [5n, undefined, 6n],
        )
        assert.deepEqual(await table.getAsync([77n]), rowOf(77))
        assert.equal(await table.count(), BigInt(kRows))
        const where = { where: 'px >= 40 AND live', columns: ['id', 'px'] }
        const rows = (await table.scan(where).toArray()) as { id: bigint; px: number }[]
        assert.deepEqual(
          rows.map(row => row.id),
          Array.from({ length: kRows }, (_, i) => rowOf(i))
            .filter(row => row.px >= 40 && row.live)
            .map(row => row.id),
        )
        const last = (await table.scan({ reverse: true, limit: 3 }).toArray()) as { id: bigint }[]
        assert.deepEqual(
          last.map(row => row.id),
          [BigInt(kRows - 1), BigInt(kRows - 2), BigInt(kRows - 3)],
        )
      }
    }
    await check()
    await database.compact()
    await check()
    await database.close()
    database = await Database.open(join(directory.path, 'db'))
    await check()
    const { sstBytes: plain } = sizes('none')
    for (const name of ['lz4', 'zstd', 'levels', 'series']) {
      const { sstBytes, sstUncompressedBytes } = sizes(name)
      assert.ok(sstBytes < sstUncompressedBytes, name)
      assert.ok(sstBytes * 2 < plain, `${name}: ${sstBytes} of ${plain}`)
    }
    assert.equal(sizes('none').sstUncompressedBytes, plain)
    const metrics = database.metrics() as { decodedHits: number; decodedMisses: number; memory: Record<string, number> }
    assert.ok(metrics.decodedHits > 0)
    assert.ok(metrics.decodedMisses > 0)
    assert.ok(metrics.memory.decodedBatches! > 0)
  })

  it('batches of a scan are copies that outlive the file', async () => {
    const table = await fill('t', { compression: 'lz4' })
    const batches = await collect(table.scan())
    assert.ok(batches.every(batch => !batch.zeroCopy))
    await database.dropTable('t')
    let id = 0n
    for (const batch of batches) for (const value of batch.getChild('id')!) assert.equal(value, id++)
    assert.equal(id, BigInt(kRows))
  })

  it('a table that exists is refused with another compression, and is told of by inspect', async () => {
    await fill('t', { compression: 'zstd' })
    const again = (options: object): Promise<Table> =>
      database.createTable('t', { schema, primaryKey: ['id'], ifNotExists: true, ...options })
    await again({ compression: 'zstd' })
    await assert.rejects(
      again({ compression: 'lz4' }),
      withCode('MARBLE_INCOMPATIBLE', /option compression is zstd, not lz4/),
    )
    await assert.rejects(again({}), withCode('MARBLE_INCOMPATIBLE', /option compression is zstd, not none/))
    await database.createTable('l', { schema, primaryKey: ['id'], compressionPerLevel: ['none', 'zstd'] })
    await assert.rejects(
      database.createTable('l', { schema, primaryKey: ['id'], compressionPerLevel: ['lz4'], ifNotExists: true }),
      withCode('MARBLE_INCOMPATIBLE', /compressionPerLevel is \[none, zstd\], not \[lz4\]/),
    )
    await database.close()
    const inspection = await Database.inspect(join(directory.path, 'db'))
    const t = inspection.tables.find(table => table.name === 't')!
    assert.equal(t.options.compression, 'zstd')
    assert.ok(t.bytes < t.uncompressedBytes)
    for (const file of t.files) {
      assert.equal(file.compression, 'zstd')
      assert.ok(file.arrowBytes < file.uncompressedBytes)
    }
    assert.deepEqual(inspection.tables.find(table => table.name === 'l')!.options.compressionPerLevel, ['none', 'zstd'])
    const report = await Database.verify(join(directory.path, 'db'))
    assert.equal(report.ok, true)
  })

  it('apache-arrow opens a file with a codec for it', async () => {
    await fill('t', { compression: 'lz4' })
    await database.compact()
    compressionRegistry.set(CompressionType.LZ4_FRAME, { decode: decodeLz4 })
    const files = readdirSync(join(directory.path, 'db')).filter(name => name.endsWith('.arrow'))
    assert.equal(files.length, 1)
    const rows = tableFromIPC(readFileSync(join(directory.path, 'db', files[0]!)))
    assert.equal(rows.numRows, kRows)
    let i = 0
    for (const row of rows) {
      const { id, city, px, live } = row as unknown as ReturnType<typeof rowOf>
      assert.deepEqual({ id, city, px, live }, rowOf(i++))
    }
  })
})
