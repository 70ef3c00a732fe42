import { javaMissing } from '../clients/clients.ts'
import { compileTransactions, javaTransactions } from '../clients/transactions.ts'
import { kafka, ours } from '../measure/brokers.ts'
import { withTopic } from '../measure/load.ts'
import { metric } from './figures.ts'
import type { Scenario } from './scenario.ts'

const RECORD_BYTES = 100

/** One producer that waits for each commit: what a transaction costs, spread over its records. */
export const transactionScenarios: readonly Scenario[] = [100, 1000].map((transactionRecords) => ({
  name: `transactions-${transactionRecords}`,
  title: `Java producer, transactions of ${transactionRecords} records of ${RECORD_BYTES} B, one after the other`,
  contestants: [ours, kafka],
  metrics: [
    metric.recordRate({ ratioAtLeast: 2 }),
    { key: 'transactionRate', label: 'transactions', unit: '/s' },
    { key: 'transactionP50', label: 'a transaction, p50', unit: 'ms' },
    { key: 'transactionP99', label: 'a transaction, p99', unit: 'ms' },
    metric.cpu(),
  ],
  settings: { client: 'kafka-clients, batch.size=65536', partitions: 1, recordBytes: RECORD_BYTES, transactionRecords },
  missing: javaMissing,
  prepare: compileTransactions,
  round: (broker, { seconds }) =>
    withTopic(broker, 1, (topic) => javaTransactions(broker, topic, transactionRecords, RECORD_BYTES, seconds)),
}))
