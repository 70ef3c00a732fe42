export type { TransactionMarker } from '../log/transaction-marker.ts'
