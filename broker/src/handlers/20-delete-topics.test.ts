import { ErrorCode, ZERO_UUID } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { ask, openMetadata, type NodeMetadata } from '../testing/node-metadata.ts'
import { deleteTopics } from './20-delete-topics.ts'

function nodeWith(...names: string[]): { node: NodeMetadata; ids: string[] } {
  const node = openMetadata()
  return { node, ids: names.map((name) => node.metadata.createTopic({ name }).topic!.id) }
}

async function remove(node: NodeMetadata, topics: { name?: string; topicId?: string }[]) {
  const named = topics.map(({ name = null, topicId = ZERO_UUID }) => ({ name, topicId }))
  const { responses } = await ask(deleteTopics, 6, { topics: named, timeoutMs: 1000 }, node)
  return responses.map(({ name, topicId, errorCode }) => [name, topicId, errorCode])
}

describe('DeleteTopics', () => {
  it('deletes by name in every version', async () => {
    for (let version = deleteTopics.api.minVersion; version <= deleteTopics.api.maxVersion; version++) {
      const { node, ids } = nodeWith('orders')
      const request = version >= 6 ? { topics: [{ name: 'orders', topicId: ZERO_UUID }] } : { topicNames: ['orders'] }
      const { responses } = await ask(deleteTopics, version, { ...request, timeoutMs: 1000 }, node)
      expect(responses).toMatchObject([{ name: 'orders', errorCode: 0 }])
      if (version >= 6) expect(responses[0]!.topicId).toBe(ids[0])
      expect(node.metadata.image.topics.size).toBe(0)
    }
  })

  it('deletes by id and answers the name', async () => {
    const { node, ids } = nodeWith('orders')
    expect(await remove(node, [{ topicId: ids[0]! }])).toEqual([['orders', ids[0], ErrorCode.none]])
  })

  it('tells unknown names and unknown ids apart', async () => {
    const { node } = nodeWith()
    expect(await remove(node, [{ name: 'nope' }, { name: 'a b' }, { topicId: 'AAAAAAAAAAAAAAAAAAAABA' }])).toEqual([
      [null, 'AAAAAAAAAAAAAAAAAAAABA', ErrorCode.unknownTopicId],
      ['nope', ZERO_UUID, ErrorCode.unknownTopicOrPartition],
      ['a b', ZERO_UUID, ErrorCode.unknownTopicOrPartition],
    ])
  })

  it('refuses a topic that is named twice, in whatever way, and keeps it', async () => {
    const { node, ids } = nodeWith('a', 'b', 'c', 'd')
    const [, b, c] = ids
    const answers = await remove(node, [
      { name: 'a' },
      { name: 'a' },
      { topicId: b! },
      { topicId: b! },
      { topicId: c! },
      { name: 'c' },
      { name: 'd' },
    ])
    expect(answers).toEqual([
      ['a', ZERO_UUID, ErrorCode.invalidRequest],
      [null, b, ErrorCode.invalidRequest],
      ['c', c, ErrorCode.invalidRequest],
      ['d', ids[3], ErrorCode.none],
    ])
    expect([...node.metadata.image.topics.keys()]).toEqual(['a', 'b', 'c'])
  })

  it('refuses neither and both of name and id', async () => {
    const { node, ids } = nodeWith('a')
    expect(await remove(node, [{}, { name: 'a', topicId: ids[0]! }])).toEqual([
      [null, ZERO_UUID, ErrorCode.invalidRequest],
      ['a', ids[0], ErrorCode.invalidRequest],
    ])
  })

  it('deletes nothing where deletion is switched off', async () => {
    const node = openMetadata({ sets: ['delete.topic.enable=false'] })
    node.metadata.createTopic({ name: 'a' })
    const ofVersion = async (version: number): Promise<number> => {
      const { responses } = await ask(deleteTopics, version, { topicNames: ['a'], timeoutMs: 1000 }, node)
      return responses[0]!.errorCode
    }
    expect(await ofVersion(2)).toBe(ErrorCode.invalidRequest)
    expect(await ofVersion(3)).toBe(ErrorCode.topicDeletionDisabled)
    expect(node.metadata.image.topics.size).toBe(1)
  })
})
