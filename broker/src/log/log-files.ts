/** Names of the files in a partition's directory, as in Apache Kafka. */

export const LOG_SUFFIX = '.log'
export const OFFSET_INDEX_SUFFIX = '.index'
export const TIME_INDEX_SUFFIX = '.timeindex'
/** There only if a transaction was aborted by a marker in the segment. */
export const TRANSACTION_INDEX_SUFFIX = '.txnindex'
export const PRODUCER_SNAPSHOT_SUFFIX = '.snapshot'
/** Behind the names of a segment's files: compaction's draft, what takes the place of others, what is to be removed. */
export const CLEANED_SUFFIX = '.cleaned'
export const SWAP_SUFFIX = '.swap'
export const DELETED_SUFFIX = '.deleted'
/** What recovery cut off a log; read by nobody but a person. */
export const CUT_SUFFIX = '.cut'
/** The same of what was durable and is damaged. */
export const CORRUPT_SUFFIX = '.corrupt'
export const LEADER_EPOCHS_FILE = 'leader-epoch-checkpoint'
export const PARTITION_METADATA_FILE = 'partition.metadata'

const OFFSET_DIGITS = 20

/** `00000000000000004711.log`: the offset that the file begins with, in as many digits as the largest int64 has. */
export function fileName(offset: number, suffix: string): string {
  return String(offset).padStart(OFFSET_DIGITS, '0') + suffix
}

/** The offset in a file's name, or null if the name is not 20 digits and the suffix. */
export function offsetOfFile(name: string, suffix: string): number | null {
  if (name.length !== OFFSET_DIGITS + suffix.length || !name.endsWith(suffix)) return null
  const digits = name.slice(0, OFFSET_DIGITS)
  if (!/^\d+$/.test(digits)) return null
  const offset = Number(digits)
  return Number.isSafeInteger(offset) ? offset : null
}
