import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tableFromIPC } from 'apache-arrow'
import { temporaryDirectory } from '../helpers.js'

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))

describe('marbledb sql', function () {
  // Each run is a process of its own.
  this.timeout(180_000)
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

  it('runs every -e and -f, in the order in which they stand', () => {
    const file = join(directory.path, 'q.sql')
    writeFileSync(file, 'INSERT INTO t VALUES (2)')
    const { status, stdout, stderr } = run(
      ...['-e', 'CREATE TABLE t (a INT)', '-e', 'INSERT INTO t VALUES (1)', '-f', file, '-e', 'SELECT a FROM t;'],
      ...['--format', 'json'],
    )
    assert.equal(status, 0, stderr)
    assert.equal(stdout, '{"a":1}\n{"a":2}\n')
    // All are read before the first runs, and an error says in which it is.
    const state = join(directory.path, 'state')
    const wrong = run('-e', 'CREATE TABLE u (a INT)', '-e', 'SELEC 1', '--state-path', state)
    assert.equal(wrong.status, 1)
    assert.match(wrong.stderr, /line 1, column 1: in the text of option 2: /)
    assert.equal(run('-e', 'SHOW TABLES', '--state-path', state, '--format', 'csv').stdout, 'name\n')
    const inFile = run('-e', 'SELECT 1', '-f', join(directory.path, 'none.sql'))
    assert.deepEqual([inFile.status, inFile.stdout], [2, ''])
    const twice = run('-f', '-', '-f', '-')
    assert.deepEqual([twice.status, twice.stderr], [2, "stdin ('-f -') can be read only once\n"])
  })

  it('loses no column, and says what JSON has no number for', () => {
    const input = join(directory.path, 'd.jsonl')
    writeFileSync(input, '{"d":1e308,"a":[1e308]}\n')
    const create = `CREATE TABLE d (d DOUBLE, a ARRAY<DOUBLE>) WITH ('connector' = 'filesystem', 'path' = '${input}', 'format' = 'json');`
    const json = (sql: string, ...more: string[]): string => run('-e', sql, '--format', 'json', ...more).stdout
    assert.equal(json('SELECT 1 AS x, 2 AS x, 3 AS y'), '{"x":1,"x0":2,"y":3}\n')
    assert.equal(
      json(`${create} SELECT d * 10 AS p, d * -10 AS m, d * 10 - d * 10 AS n, a FROM d`),
      '{"p":"Infinity","m":"-Infinity","n":"NaN","a":[1e+308]}\n',
    )
    assert.equal(json(`${create} SELECT d AS op FROM d`, '--changelog'), '{"op":"+I","op0":1e+308}\n')
    assert.equal(run('-e', 'SELECT 1 AS x, 2 AS x', '--format', 'csv').stdout, 'x,x0\n1,2\n')
  })

  it('prints times of every size', () => {
    const input = join(directory.path, 't.jsonl')
    writeFileSync(input, '{"ts":"9999-12-31 23:59:59.999"}\n')
    const { stdout, stderr } = run(
      ...['--format', 'json', '-e'],
      `CREATE TABLE t (ts TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = '${input}', 'format' = 'json');
       SELECT ts, ts + INTERVAL '1' SECOND AS later FROM t`,
    )
    assert.equal(stdout, '{"ts":"9999-12-31 23:59:59.999","later":"+010000-01-01 00:00:00.999"}\n', stderr)
  })

  it('ends quietly when nobody reads the rows any more', async () => {
    const input = join(directory.path, 'many.jsonl')
    writeFileSync(input, Array.from({ length: 200_000 }, (_, i) => `{"a":${i}}`).join('\n'))
    const sql = `CREATE TABLE many (a INT) WITH ('connector' = 'filesystem', 'path' = '${input}', 'format' = 'json'); SELECT a FROM many; SELECT a FROM many`
    for (const format of ['json', 'csv', 'table', 'arrow']) {
      const command = `"${process.execPath}" "${main}" sql --format ${format} -e "$SQL" | head -c 10 >/dev/null; exit "\${PIPESTATUS[0]}"`
      const { status, stderr } = spawnSync('bash', ['-c', command], {
        encoding: 'utf8',
        env: { ...process.env, SQL: sql },
      })
      assert.deepEqual([status, stderr], [0, 'many created\n'], format)
    }
    // Nor is anything said when it is what we say that nobody reads.
    const child = spawn(process.execPath, [main, 'sql', '-e', 'SELECT 1 AS x', '--format', 'csv'])
    child.stderr.destroy()
    let stdout = ''
    child.stdout.on('data', chunk => {
      stdout += String(chunk)
    })
    assert.equal(await new Promise(resolve => child.on('close', resolve)), 0)
    assert.equal(stdout, 'x\n1\n')
  })

  it('a full disk behind stdout is an error', () => {
    const command = `"${process.execPath}" "${main}" sql --format csv -e "SELECT 1 AS x" >/dev/full`
    const { status, stderr } = spawnSync('bash', ['-c', command], { encoding: 'utf8' })
    assert.equal(status, 1)
    assert.match(stderr, /^cannot write the rows: .*ENOSPC/)
  })

  it('says the code of an error once, and names the option', () => {
    const missing = run('-e', 'SELECT 1', '--state-path', '/proc/marbledb')
    assert.equal(missing.status, 1)
    assert.equal(
      missing.stderr,
      'MARBLE_IO: StreamingSQLExecutor.open: the directory of statePath "/proc/marbledb" cannot be made: ENOENT: no such file or directory, mkdir \'/proc/marbledb\'\n',
    )
    const stats = join(directory.path, 'none', 'stats.json')
    const unwritable = run('-e', 'SELECT 1 AS x', '--format', 'csv', '--stats', stats)
    assert.deepEqual([unwritable.status, unwritable.stdout], [1, 'x\n1\n'])
    assert.match(unwritable.stderr, /^cannot write --stats .*stats\.json: ENOENT: no such file[^\n]*\n$/)
    // What failed first is said, too.
    const both = run('-e', 'SELECT x', '--stats', stats)
    assert.equal(both.status, 1)
    assert.match(both.stderr, /cannot write --stats [\s\S]*MARBLE_SQL: line 1, column 8/)
    const temporary = spawnSync(process.execPath, [main, 'sql', '-e', 'SELECT 1'], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: join(directory.path, 'none') },
    })
    assert.equal(temporary.status, 1)
    assert.match(temporary.stderr, /^ENOENT: no such file[^\n]*\n$/)
  })

  it('reads statements from stdin, also where its chunks cut a character', () => {
    // A pipe holds 64 KiB.
    for (const before of ['', ' ', '  ']) {
      const text = '€'.repeat(100_000)
      const { stdout } = spawnSync(process.execPath, [main, 'sql', '--format', 'json'], {
        encoding: 'utf8',
        input: `${before}SELECT '${text}' AS x`,
      })
      assert.ok(stdout === `{"x":"${text}"}\n`)
    }
  })

  it("keeps nothing on disk with --state-path ':memory:'", () => {
    const { stdout } = run(
      '--state-path',
      ':memory:',
      '--format',
      'csv',
      '-e',
      'CREATE TABLE t (a INT)',
      '-e',
      'SHOW TABLES',
    )
    assert.equal(stdout, 'name\nt\n')
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
