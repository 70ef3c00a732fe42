import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { methodsOf, TestFile } from '../harness/surface.ts'

const packageFile = createRequire(import.meta.url).resolve('kafkajs/package.json')
const definitions = readFileSync(join(dirname(packageFile), 'types', 'index.d.ts'), 'utf8')

/** The types whose methods a program calls, and how titles of tests name a value of each. */
const methods = methodsOf(definitions, {
  Kafka: 'kafka',
  Sender: 'producer',
  Producer: 'producer',
  Consumer: 'consumer',
  Admin: 'admin',
  EachMessagePayload: 'eachMessage',
  EachBatchPayload: 'eachBatch',
  Batch: 'batch',
  Logger: 'logger',
  Transaction: 'transaction',
})

/** Methods without a test, each with the reason. */
const excluded: Readonly<Record<string, string>> = {
  'admin.createAcls': 'access control lists are not supported yet',
  'admin.describeAcls': 'access control lists are not supported yet',
  'admin.deleteAcls': 'access control lists are not supported yet',
}

const testFiles = TestFile.all(import.meta.dirname, basename(import.meta.filename))

describe('the tests of kafkajs', () => {
  it('see the whole public interface', () => {
    expect(methods.length).toBeGreaterThan(70)
    const kafka = new Kafka({ brokers: ['unused:9092'], logLevel: logLevel.NOTHING })
    const clients = { producer: kafka.producer(), consumer: kafka.consumer({ groupId: 'g' }), admin: kafka.admin() }
    for (const [name, client] of Object.entries(clients)) {
      const functions = Object.entries(client).filter(([, value]) => typeof value === 'function')
      expect(functions.length).toBeGreaterThan(7)
      expect(methods).toEqual(expect.arrayContaining(functions.map(([method]) => `${name}.${method}`)))
    }
  })

  it.each(methods.filter((method) => !(method in excluded)))('name and call %s', (method) => {
    expect(testFiles.filter((file) => file.covers(method)).map(({ file }) => file)).not.toEqual([])
  })

  it('exclude only methods that exist and have no test', () => {
    for (const method of Object.keys(excluded)) {
      expect(methods).toContain(method)
      expect(testFiles.filter((file) => file.names(method)).map(({ file }) => file)).toEqual([])
    }
  })
})
