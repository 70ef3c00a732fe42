import { StreamsError } from '../../errors.ts'

/** What a subject is named after. */
export interface SubjectOf {
  readonly topic: string
  readonly part: 'key' | 'value'
  /** Full name of the record, message or (its title) JSON schema; null when it has none. */
  readonly recordName: string | null
}

export type SubjectName = (of: SubjectOf) => string

/** `<topic>-key` and `<topic>-value`: one schema, in its versions, for each topic. What registries' clients do by default. */
export const topicName: SubjectName = ({ topic, part }) => `${topic}-${part}`

/** The record's own name: a schema is the same wherever it is used, and a topic may hold several. */
export const recordName: SubjectName = ({ topic, part, recordName: name }) => named(name, topic, part)

/** `<topic>-<record>`: several schemas in a topic, each with versions of its own there. */
export const topicRecordName: SubjectName = ({ topic, part, recordName: name }) =>
  `${topic}-${named(name, topic, part)}`

function named(name: string | null, topic: string, part: string): string {
  if (name !== null) return name
  throw new StreamsError(
    'invalid-option',
    `the subject of the ${part} of ${topic} is named after its record, but the schema has no name (a JSON schema: no title)`,
  )
}
