import { RecordStatus, checkRecords } from '@millrace/native'
import { COMPRESSION_MASK, RECORDS, attributesAt, batchSizeAt, recordCountAt } from './batch-header.ts'
import { decompress } from './compression.ts'
import { COMPRESSIONS, DecompressionError, OutputTooLargeError } from './compressions.ts'

/**
 * `checkRecords` for the batch at `start`, whose records may be compressed: the log's look at what a producer sent. The
 * whole batch is in `buffer`, as its length says. A body that does not decompress, or would become more than
 * `maxBodyBytes`, is a status as well, since it is the client's mistake; `facts` is then left as it was.
 *
 *     const facts = new Float64Array(RECORD_FACT_COUNT)
 *     const status = checkCompressedRecords(buffer, start, maxBodyBytes, facts)
 *     if (status !== RecordStatus.ok) return refuse(describeRecordStatus(status))
 */
export function checkCompressedRecords(
  buffer: Buffer,
  start: number,
  maxBodyBytes: number,
  facts: Float64Array,
): RecordStatus {
  const end = start + batchSizeAt(buffer, start)
  const recordCount = recordCountAt(buffer, start)
  const code = attributesAt(buffer, start) & COMPRESSION_MASK
  // Without records there is nothing to compress, and Kafka writes no body, whatever the attributes say.
  if (code === 0 || end === start + RECORDS) return checkRecords(buffer, start + RECORDS, end, recordCount, facts)

  const compression = COMPRESSIONS[code]
  if (compression === undefined) return RecordStatus.badCompression
  let body: Buffer
  try {
    body = decompress(compression, buffer.subarray(start + RECORDS, end), maxBodyBytes)
  } catch (cause) {
    if (cause instanceof OutputTooLargeError) return RecordStatus.bodyTooLarge
    if (cause instanceof DecompressionError) return RecordStatus.badCompression
    throw cause
  }
  return checkRecords(body, 0, body.length, recordCount, facts)
}
