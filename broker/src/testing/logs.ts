import { buildBatch, readBatches, readRecords, type BatchInput } from '@millrace/protocol'
import { silentLogger } from '../base/logger.ts'
import type { Disk } from '../log/disk.ts'
import { defaultLogConfig, type LogConfig } from '../log/log-config.ts'
import { MemoryDisk } from '../log/memory-disk.ts'
import { PartitionLog, type AppendOptions, type AppendResult, type PartitionLogOptions } from '../log/partition-log.ts'
import { ManualClock } from './manual-clock.ts'

export const TOPIC_ID = 'uPdUBjb8T0eSNNzkrlX7Kw'
export const LOG_PATH = '/data/orders-0'

type LogSettings = Omit<Partial<PartitionLogOptions>, 'config'> & { readonly config?: Partial<LogConfig> }

/** Opens `orders-0` on a disk in memory, or on the one given: Kafka's settings and an orderly shutdown unless said otherwise. */
export function openLog(settings: LogSettings = {}): PartitionLog {
  const { config, ...options } = settings
  return PartitionLog.open({
    disk: new MemoryDisk(),
    directory: LOG_PATH,
    topicPartition: { topic: 'orders', partition: 0 },
    topicId: TOPIC_ID,
    clock: new ManualClock(),
    logger: silentLogger,
    isCleanShutdown: true,
    producerIdExpirationMs: 24 * 60 * 60 * 1000,
    config: { ...defaultLogConfig, ...config },
    ...options,
  })
}

/** A batch whose records hold `values`, all of the manual clock's first moment. */
export function batchOf(values: readonly string[], input: Partial<BatchInput> = {}): Buffer {
  const records = values.map((value) => ({ key: Buffer.from(`key of ${value}`), value: Buffer.from(value) }))
  return buildBatch({ records, nowMs: new ManualClock().nowMs(), ...input })
}

/** A batch as an idempotent producer sends it. */
export function producedBatch(producerId: number, producerEpoch: number, baseSequence: number, count = 1): Buffer {
  const values = Array.from({ length: count }, (_, i) => `${producerId}/${producerEpoch}/${baseSequence + i}`)
  return batchOf(values, { producerId, producerEpoch, baseSequence })
}

export function append(log: PartitionLog, batch: Buffer, options: Partial<AppendOptions> = {}): AppendResult {
  return log.append(batch, 0, batch.length, { origin: 'client', leaderEpoch: 0, ...options })
}

/** The values of the log's records by offset, as a consumer that reads `maxBytes` at a time gets them. */
export function valuesOf(log: PartitionLog, maxBytes = 1024 * 1024): Map<number, string> {
  const values = new Map<number, string>()
  for (let offset = log.logStartOffset; offset < log.endOffset;) {
    const bytes = log.read(offset, maxBytes, { maxOffset: log.endOffset, atLeastOneBatch: true })
    if (bytes.length === 0) throw new Error(`nothing to read at ${offset}, the log ends at ${log.endOffset}`)
    for (const batch of readBatches(bytes)) {
      for (const record of readRecords(batch)) values.set(record.offset, String(record.value))
      offset = batch.lastOffset + 1
    }
  }
  return values
}

/** The sizes of the files in a directory of a disk, by name. */
export function filesOf(disk: Disk, directory = LOG_PATH): Record<string, number> {
  const files: Record<string, number> = {}
  for (const name of disk.list(directory)) files[name] = disk.readFile(`${directory}/${name}`)?.length ?? 0
  return files
}
