/**
 * A key in one of its windows. `endMs` is exclusive for tumbling and hopping windows, inclusive for sliding windows and
 * sessions, as Kafka Streams has it.
 */
export interface Windowed<K> {
  readonly key: K
  readonly startMs: number
  readonly endMs: number
}
