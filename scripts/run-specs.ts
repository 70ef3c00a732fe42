// Reads the oracle's specs, one JSON object a line, from standard input or a file, and prints one result a line, in
// the form of the Java program in streams/test/oracle: the two outputs can be compared line by line.
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { runSpec } from '../streams/test/oracle/run-spec.ts'
import type { Spec } from '../streams/test/oracle/spec.ts'

const [file] = process.argv.slice(2)
const lines = createInterface({
  input: file === undefined ? process.stdin : createReadStream(file),
  crlfDelay: Infinity,
})

for await (const line of lines) {
  if (line.trim() === '' || line.startsWith('#')) continue
  const spec = JSON.parse(line) as Spec
  try {
    console.log(JSON.stringify(runSpec(spec)))
  } catch (error) {
    const { name, message } = error as Error
    console.log(JSON.stringify({ name: spec.name, error: `${name}: ${message}` }))
  }
}
