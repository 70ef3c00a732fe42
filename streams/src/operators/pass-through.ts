import type { Emit, Operator } from '../topology/operator.ts'

/** A node that only gives a place in the graph its name: merges, branches, the output of a join. */
export function passThrough(): Operator<Emit, Emit> {
  return (_task, next) => next
}
