import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { methodsOf, TestFile } from '../harness/surface.ts'

const clients = join(dirname(fileURLToPath(import.meta.resolve('@platformatic/kafka'))), 'clients')
const definitions = (path: string): string => readFileSync(join(clients, path), 'utf8')

/** Public methods, under the names that titles of tests use. */
const methods = [
  ...methodsOf(definitions('producer/producer.d.ts'), { Producer: 'producer' }),
  ...methodsOf(definitions('producer/producer-stream.d.ts'), { ProducerStream: 'producerStream' }),
  ...methodsOf(definitions('producer/transaction.d.ts'), { Transaction: 'transaction' }),
  ...methodsOf(definitions('consumer/consumer.d.ts'), { Consumer: 'consumer' }),
  ...methodsOf(definitions('consumer/messages-stream.d.ts'), { MessagesStream: 'stream' }),
  ...methodsOf(definitions('admin/admin.d.ts'), { Admin: 'admin' }),
  // The other two inherit these; one of the three is enough.
  ...methodsOf(definitions('base/base.d.ts'), { Base: 'admin' }),
]

/** Methods without a test, each with the reason. */
const excluded: Readonly<Record<string, string>> = {
  'admin.createAcls': 'access control lists are not supported yet',
  'admin.describeAcls': 'access control lists are not supported yet',
  'admin.deleteAcls': 'access control lists are not supported yet',
  'admin.describeClientQuotas': 'quotas are not supported yet',
  'admin.alterClientQuotas': 'quotas are not supported yet',
  'admin.emitWithDebug': 'for the client itself',
  'stream.addListener': 'of Node, the client only adds types',
  'stream.on': 'of Node, the client only adds types',
  'stream.once': 'of Node, the client only adds types',
  'stream.prependListener': 'of Node, the client only adds types',
  'stream.prependOnceListener': 'of Node, the client only adds types',
}

const testFiles = TestFile.all(import.meta.dirname, basename(import.meta.filename))

describe('the tests of @platformatic/kafka', () => {
  it.each(methods.filter((method) => !(method in excluded)))('name and call %s', (method) => {
    expect(testFiles.filter((file) => file.covers(method)).map(({ file }) => file)).not.toEqual([])
  })

  it('exclude only methods that exist and have no test', () => {
    expect(methods.length).toBeGreaterThan(50)
    for (const method of Object.keys(excluded)) {
      expect(methods).toContain(method)
      expect(testFiles.filter((file) => file.names(method)).map(({ file }) => file)).toEqual([])
    }
  })
})
