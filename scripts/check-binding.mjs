// Compares three lists: the functions of binding.d.ts, the signatures above the native functions in native/napi, and what the
// built addon exports. Also that lib/ uses no function that is not there.
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'

const normalize = signature => signature.replace(/\s+/g, ' ').replaceAll('; }', ' }').replaceAll(';', ',').trim()
const complaints = []

const declared = new Map()
for (const [, signature, name] of readFileSync('binding.d.ts', 'utf8').matchAll(/^export (function (\w+)\(.*)$/gm))
  declared.set(name, normalize(signature))

const commented = new Map()
const exported = new Set()
for (const file of readdirSync('native/napi').filter(name => name.endsWith('_binding.cc'))) {
  const text = readFileSync(join('native/napi', file), 'utf8')
  // A signature may be wrapped over several comment lines.
  for (const [, lines, name] of text.matchAll(/^\/\/ (function (\w+)\(.*(?:\n\/\/ .*)*)$/gm)) {
    commented.set(name, normalize(lines.replaceAll('\n// ', ' ')))
  }
  for (const [, name] of text.matchAll(/Export\(env, exports, "(\w+)"/g)) exported.add(name)
}
for (const [name, signature] of declared) {
  if (!commented.has(name)) complaints.push(`${name}: no signature above a native function`)
  else if (commented.get(name) !== signature)
    complaints.push(`${name}: signatures differ\n  binding.d.ts: ${signature}\n  native/napi:  ${commented.get(name)}`)
}
for (const name of commented.keys())
  if (!declared.has(name)) complaints.push(`${name}: in native/napi, not in binding.d.ts`)
for (const name of exported) if (!declared.has(name)) complaints.push(`${name}: exported, not in binding.d.ts`)
for (const name of declared.keys()) if (!exported.has(name)) complaints.push(`${name}: declared, not exported`)

const addon = createRequire(import.meta.url)(resolve(process.env.MARBLEDB_BINDING ?? 'build/Release/marbledb.node'))
for (const name of Object.keys(addon))
  if (!declared.has(name)) complaints.push(`${name}: in the built addon, not in binding.d.ts`)
for (const name of declared.keys())
  if (typeof addon[name] !== 'function')
    complaints.push(`${name}: declared, not in the built addon (is it up to date?)`)

const sources = readdirSync('lib', { recursive: true })
  .filter(name => name.endsWith('.ts'))
  .map(name => readFileSync(join('lib', name), 'utf8'))
const used = new Set(
  sources.flatMap(text => [...text.matchAll(/(?:binding\(\)|\bnative)\s*\.(\w+)\(/g)].map(([, name]) => name)),
)
const forTests = new Set(['addressOf', 'mappedFiles', 'errorCodes', 'databaseSync'])
for (const name of declared.keys())
  if (!used.has(name) && !forTests.has(name)) complaints.push(`${name}: not used by lib/`)

for (const complaint of complaints) process.stderr.write(`${complaint}\n`)
process.stdout.write(`${declared.size} functions, ${complaints.length} complaints\n`)
process.exit(complaints.length > 0 ? 1 : 0)
