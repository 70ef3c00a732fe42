import type { GroupAssignment, GroupParticipant } from '../client/group-member.ts'
import { StreamsError } from '../errors.ts'
import type { AssignmentMember, MemberTasks } from './assignor.ts'
import type { TaskId } from './task-id.ts'

/** What a worker tells the leader about itself. JSON, so that a tool that shows the group's members can show it. */
export interface WorkerMetadata {
  readonly processId: string
  readonly active: readonly TaskId[]
  readonly standby: readonly TaskId[]
  readonly state: Readonly<Record<string, number>>
  /** `host:port` where the process answers queries for others, null when it does not. */
  readonly endpoint: string | null
  /** The topology the process runs: members of different topologies cannot share tasks. */
  readonly topology: string
}

/** What the leader tells a worker. `hosts` says for each endpoint which tasks are active and standby there. */
export interface WorkerAssignment extends MemberTasks {
  readonly hosts: Readonly<Record<string, MemberTasks>>
  /** Why the worker gets nothing and should not come back. */
  readonly refusal?: string
}

const METADATA_VERSION = 1

export function encodeMetadata(metadata: WorkerMetadata): Buffer {
  return Buffer.from(JSON.stringify({ version: METADATA_VERSION, ...metadata }))
}

export function encodeAssignment(assignment: WorkerAssignment): Buffer {
  return Buffer.from(JSON.stringify({ version: METADATA_VERSION, ...assignment }))
}

export function decodeAssignment({ userData }: GroupAssignment): WorkerAssignment {
  if (userData.length === 0) return { active: [], standby: [], hosts: {} }
  return decode<WorkerAssignment>(userData, 'the assignment of the group leader')
}

export type WorkerMember = AssignmentMember & Omit<WorkerMetadata, 'state'>

export function decodeMember(participant: GroupParticipant): WorkerMember {
  const { memberId, generationId, userData } = participant
  const metadata = decode<WorkerMetadata>(userData, `the metadata of member ${memberId}`)
  const state = new Map(Object.entries(metadata.state) as [TaskId, number][])
  return { ...metadata, memberId, generationId, state }
}

function decode<T>(bytes: Buffer, what: string): T {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString())
  } catch (cause) {
    throw new StreamsError('invalid-topology', `${what} is not of this library: another program uses this group`, {
      cause,
    })
  }
  const { version } = value as { version?: unknown }
  if (version === METADATA_VERSION) return value as T
  throw new StreamsError(
    'invalid-topology',
    `${what} has version ${String(version)}, this process knows ${METADATA_VERSION}`,
  )
}
