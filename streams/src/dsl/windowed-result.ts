import { durationMs, type Duration } from '../duration.ts'
import { TopologyError } from '../errors.ts'
import type { EmitStrategy } from '../operators/window-closing.ts'
import type { Windowed } from '../windowed.ts'
import type { StoreOptions } from './builder.ts'
import type { Stream } from './stream.ts'
import type { Table } from './table.ts'

export type Late = 'drop' | 'side-output'

export interface WindowedOptions<A, L extends Late> extends StoreOptions<A> {
  /** Every change of a window's result as it happens, or each window's final result once. */
  readonly emit?: EmitStrategy
  /**
   * What happens to a record that is too late for a window: it is dropped and counted, or it comes out of `late`, once
   * for each window that did not take it.
   */
  readonly late?: L
  /**
   * How long windows can be looked up: after their start, at least size and grace; sessions after their end, at least
   * gap and grace. That unless given.
   */
  readonly retention?: Duration
}

/** A table of results; with `late: 'side-output'`, the results and the stream of what was too late for them. */
export type WindowedResult<K, V, A, L extends Late> = L extends 'side-output'
  ? { readonly results: Table<Windowed<K>, A>; readonly late: Stream<Windowed<K>, V> }
  : Table<Windowed<K>, A>

/** For how long a store keeps windows or sessions: as long as they take records, or longer where somebody asks for it. */
export function retentionOf(storeName: string, retention: Duration | undefined, neededMs: number): number {
  if (retention === undefined) return neededMs
  const retentionMs = durationMs(retention)
  if (retentionMs >= neededMs) return retentionMs
  throw new TopologyError(`${storeName} must keep windows for ${neededMs} ms, its retention is ${retentionMs} ms`)
}
