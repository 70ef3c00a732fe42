import { ErrorCode, ZERO_UUID, apis, type DeleteTopicsRequest, type DeleteTopicsResponse } from '@millrace/protocol'
import type { Refusal } from '../metadata/refusal.ts'
import { handler, type RequestContext } from './handler.ts'

type TopicAnswer = DeleteTopicsResponse['responses'][number]

/**
 * DeleteTopics (20), by name and from version 6 on also by id. A topic that is named twice, in whatever way, is refused
 * and stays.
 */
export const deleteTopics = handler({
  api: apis.deleteTopics,
  handle(request, context) {
    if (!context.services.config.boolean('delete.topic.enable')) return refuse(request, context)
    const { image } = context.services.metadata
    const responses: TopicAnswer[] = []
    const answer = (name: string | null, topicId: string, { errorCode, errorMessage }: Refusal): void => {
      responses.push({ name, topicId, errorCode, errorMessage })
    }
    const invalid = (errorMessage: string): Refusal => ({ errorCode: ErrorCode.invalidRequest, errorMessage })

    const names = new Counted()
    const ids = new Counted()
    for (const name of request.topicNames) names.add(name)
    for (const { name, topicId } of request.topics) {
      if (name !== null && topicId !== ZERO_UUID) {
        answer(name, topicId, invalid('You may not specify both topic name and topic id.'))
      } else if (name !== null) names.add(name)
      else if (topicId !== ZERO_UUID) ids.add(topicId)
      else answer(null, ZERO_UUID, invalid('Neither topic name nor id were specified.'))
    }
    for (const name of names.repeated()) answer(name, ZERO_UUID, invalid('Duplicate topic name.'))
    for (const id of ids.repeated()) answer(null, id, invalid('Duplicate topic id.'))

    // Names are resolved before anything is deleted, so that the order of a request does not matter.
    const byId = new Map<string, string>()
    for (const id of ids.single()) {
      const topic = image.topicById(id)
      if (topic) byId.set(id, topic.name)
      else answer(null, id, context.services.metadata.deleteTopic({ id }))
    }
    for (const name of names.single()) {
      const topic = image.topics.get(name)
      if (!topic) {
        answer(name, ZERO_UUID, context.services.metadata.deleteTopic({ name }))
      } else if (ids.has(topic.id)) {
        byId.delete(topic.id)
        answer(name, topic.id, invalid('The provided topic name maps to an ID that was already supplied.'))
      } else byId.set(topic.id, name)
    }
    for (const [id, name] of byId) answer(name, id, context.services.metadata.deleteTopic({ id }))
    return { throttleTimeMs: 0, responses }
  },
})

function refuse(request: DeleteTopicsRequest, { apiVersion }: RequestContext): DeleteTopicsResponse {
  const errorCode = apiVersion < 3 ? ErrorCode.invalidRequest : ErrorCode.topicDeletionDisabled
  const errorMessage = 'Topic deletion is disabled.'
  const asked = [...request.topicNames.map((name) => ({ name, topicId: ZERO_UUID })), ...request.topics]
  return {
    throttleTimeMs: 0,
    responses: asked.map(({ name, topicId }) => ({ name, topicId, errorCode, errorMessage })),
  }
}

class Counted {
  readonly #counts = new Map<string, number>()

  add(key: string): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  has(key: string): boolean {
    return this.#counts.has(key)
  }

  single(): string[] {
    return [...this.#counts].filter(([, count]) => count === 1).map(([key]) => key)
  }

  repeated(): string[] {
    return [...this.#counts].filter(([, count]) => count > 1).map(([key]) => key)
  }
}
