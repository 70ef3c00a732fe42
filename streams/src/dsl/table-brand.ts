/** Tell the classes apart where importing them would go in a circle. */
export const TABLE: unique symbol = Symbol.for('millrace.streams.table')
export const GLOBAL_TABLE: unique symbol = Symbol.for('millrace.streams.global-table')

export function isTable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && TABLE in value
}

export function isGlobalTable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && GLOBAL_TABLE in value
}
