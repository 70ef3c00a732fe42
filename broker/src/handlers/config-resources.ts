import { ErrorCode } from '@millrace/protocol'
import { refused, type Refusal } from '../metadata/refusal.ts'

interface Resource {
  readonly resourceType: number
  readonly resourceName: string
}

interface ResourceAnswer extends Resource, Refusal {}

/**
 * Answers each resource of a request that changes settings. One that is in it twice is refused both times, since nobody
 * can tell which was meant; the others go on.
 */
export function alterEach<R extends Resource>(
  resources: readonly R[],
  alter: (resource: R) => Refusal,
): ResourceAnswer[] {
  const counts = new Map<string, number>()
  const key = ({ resourceType, resourceName }: Resource): string => `${resourceType}:${resourceName}`
  for (const resource of resources) counts.set(key(resource), (counts.get(key(resource)) ?? 0) + 1)
  return resources.map((resource) => {
    const { resourceType, resourceName } = resource
    const { errorCode, errorMessage } =
      counts.get(key(resource))! > 1
        ? refused(ErrorCode.invalidRequest, 'Each resource must appear at most once.')
        : alter(resource)
    return { errorCode, errorMessage, resourceType, resourceName }
  })
}
