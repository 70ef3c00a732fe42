export const CONSUMER_OFFSETS = '__consumer_offsets'
export const TRANSACTION_STATE = '__transaction_state'
export const CLUSTER_METADATA = '__cluster_metadata'
/** The topic id that every cluster gives its metadata log. */
export const CLUSTER_METADATA_ID = 'AAAAAAAAAAAAAAAAAAAAAQ'

const NAME_LENGTH_MAX = 249
const LEGAL_NAME = /^[a-zA-Z0-9._-]+$/

/** What is wrong with a topic's name, in Kafka's words; null when it is valid. */
export function invalidTopicName(name: string): string | null {
  const reason = whatIsWrong(name)
  return reason === null ? null : `Topic name is invalid: ${reason}`
}

function whatIsWrong(name: string): string | null {
  if (name === '') return 'the empty string is not allowed'
  if (name === '.' || name === '..') return `'${name}' is not allowed`
  if (name.length > NAME_LENGTH_MAX) {
    return `the length of '${name}' is longer than the max allowed length ${NAME_LENGTH_MAX}`
  }
  if (!LEGAL_NAME.test(name)) {
    return `'${name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'`
  }
  return null
}

/** Topics of the broker itself: clients read them, and only the broker writes them. */
export function isInternalTopic(name: string): boolean {
  return name === CONSUMER_OFFSETS || name === TRANSACTION_STATE || name === '__share_group_state'
}

/** Topics in which a coordinator finds a name by its hash, modulo the number of partitions. */
export function isCoordinatorTopic(name: string): boolean {
  return name === CONSUMER_OFFSETS || name === TRANSACTION_STATE
}

/**
 * What two names have in common that would be one name in a metric, where `.` becomes `_`: of `a.b` and `a_b` only one
 * may exist. Null for a name that cannot collide.
 */
export function collisionKey(name: string): string | null {
  return /[._]/.test(name) ? name.replaceAll('.', '_') : null
}
