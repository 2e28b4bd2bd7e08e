import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tableFromIPC } from 'apache-arrow'
import { temporaryDirectory } from '../helpers.js'

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))

describe('marbledb sql', () => {
  let directory: ReturnType<typeof temporaryDirectory>
  let script: string
  beforeEach(() => {
    directory = temporaryDirectory()
    const input = join(directory.path, 'in.jsonl')
    writeFileSync(
      input,
      '{"a":1,"s":"x,\\"y","ts":"2001-02-03 04:05:06.789","big":9007199254740993}\n{"a":1,"s":null,"ts":null,"big":5}\n',
    )
    script = `CREATE TABLE f (a INT, s STRING, ts TIMESTAMP(3), big BIGINT) WITH ('connector' = 'filesystem', 'path' = '${input}', 'format' = 'json');
      CREATE TABLE o (a INT, n BIGINT, PRIMARY KEY (a) NOT ENFORCED);
      INSERT INTO o SELECT a, COUNT(*) FROM f GROUP BY a;
      SELECT a, n FROM o; SELECT * FROM f;`
  })
  afterEach(() => directory.remove())
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'sql', ...args], { encoding: 'utf8' })
    return { status, stdout, stderr }
  }

  it('runs statements in order and prints rows as JSON lines', () => {
    const { status, stdout, stderr } = run('-e', script, '--format', 'json')
    assert.equal(status, 0, stderr)
    assert.deepEqual(
      stdout
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as object),
      [
        { a: 1, n: 2 },
        { a: 1, s: 'x,"y', ts: '2001-02-03 04:05:06.789', big: '9007199254740993' },
        { a: 1, s: null, ts: null, big: 5 },
      ],
    )
    assert.match(stderr, /job o finished: 2 records/)
  })

  it('prints tables, csv and Arrow', () => {
    assert.match(run('-e', script).stdout, /^a \| n\n--\+--\n1 \| 2\n\(1 row\)\n/)
    assert.equal(
      run('-e', script, '--format', 'csv').stdout,
      'a,n\n1,2\na,s,ts,big\n1,"x,""y",2001-02-03 04:05:06.789,9007199254740993\n1,,,5\n',
    )
    const file = join(directory.path, 'q.sql')
    writeFileSync(file, "VALUES (1, 'a'), (2, 'b')")
    const { stdout } = spawnSync(process.execPath, [main, 'sql', '-f', file, '--format', 'arrow'])
    assert.deepEqual([...tableFromIPC(stdout).getChildAt(1)!], ['a', 'b'])
  })

  it('keeps state in --state-path, replaces variables, writes statistics', () => {
    const state = join(directory.path, 'state')
    const stats = join(directory.path, 'stats.json')
    assert.equal(run('-e', script, '--state-path', state, '--stats', stats).status, 0)
    const {
      statements,
      jobs,
      process: usage,
    } = JSON.parse(readFileSync(stats, 'utf8')) as {
      statements: { kind: string; rows: number }[]
      jobs: { name: string; recordsIn: number }[]
      process: { peakRssBytes: number }
    }
    assert.deepEqual(
      statements.map(({ kind, rows }) => [kind, rows]),
      [
        ['createTable', 0],
        ['createTable', 0],
        ['insert', 1],
        ['select', 1],
        ['select', 2],
      ],
    )
    assert.deepEqual(
      jobs.map(({ name, recordsIn }) => [name, recordsIn]),
      [['o', 2]],
    )
    assert.ok(usage.peakRssBytes > 10e6)
    assert.equal(
      run('-e', 'SELECT n FROM $' + '{T}', '--var', 'T=o', '--state-path', state, '--format', 'json').stdout,
      '{"n":2}\n',
    )
    assert.equal(
      run('-e', 'SELECT a FROM f', '--changelog', '--state-path', state, '--format', 'json').stdout,
      '{"op":"+I","a":1}\n{"op":"+I","a":1}\n',
    )
  })

  it('exits with 1 for a wrong statement, naming the place, and with 2 for wrong usage', () => {
    const wrong = run('-e', 'SHOW TABLES;\n SELECT nope FROM nothing')
    assert.equal(wrong.status, 1)
    assert.match(wrong.stderr, /line 2, column 19/)
    assert.equal(run('--nonsense').status, 2)
    assert.equal(run('--var', 'x').status, 2)
    assert.equal(run('--format', 'xml').status, 2)
    const missing = run('-f', join(directory.path, 'missing.sql'))
    assert.equal(missing.status, 2)
    assert.match(missing.stderr, /cannot read .*missing\.sql/)
  })

  it('stops a continuous query cleanly on SIGINT with 130', async () => {
    const { MockKafka } = await import('marbledb/testing')
    const kafka = await MockKafka.start({ partitions: 1 })
    await kafka.produce('t', [{ value: '{"a":1}' }])
    const sql = `CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = '${kafka.bootstrapServers}', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset'); SELECT a FROM t`
    const child = spawn(process.execPath, [main, 'sql', '-e', sql, '--format', 'json'])
    let stdout = ''
    child.stdout.on('data', chunk => {
      stdout += String(chunk)
      child.kill('SIGINT')
    })
    const code = await new Promise(resolve => child.on('exit', resolve))
    await kafka.close()
    assert.equal(code, 130)
    assert.equal(stdout, '{"op":"+I","a":1}\n')
  })
})
