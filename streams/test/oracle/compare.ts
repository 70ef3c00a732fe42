import { closeModel } from './model/close-model.ts'
import { joinModel } from './model/join-model.ts'
import { sessionModel } from './model/session-model.ts'
import type { Spec, SpecOutput, SpecResult } from './spec.ts'

/** How a run of ours stands to Kafka Streams' own: the same, the same but later, or different by one of our rules. */
export type Verdict = 'exact' | 'later' | 'Q1' | 'Q2' | 'Q3' | 'Q4' | 'kafka-fails' | 'different'

export interface Comparison {
  readonly verdict: Verdict
  /** What is wrong, with the first step that differs; empty unless `different`. */
  readonly reason: string
}

type Steps = readonly (readonly SpecOutput[])[]

/**
 * Compares step by step. Where Kafka may emit a result later than its window's close (null results of joins, results on
 * window close) the order of each key and the whole set count instead. Where the input hits a quirk of Kafka's, found
 * from the spec alone, a model of our rule says what must come out, and nothing else will do.
 */
export function compare(spec: Spec, kafka: SpecResult, ours: SpecResult): Comparison {
  const expected = kafka.steps.map((step) => step.out)
  const found = ours.steps.map((step) => step.out)
  const side = sideEffects(spec, kafka, ours)
  if (same(expected, found)) return side === '' ? exact : different(side)
  if (isEmittedByClose(spec) && sameByKey(expected, found)) return { verdict: 'later', reason: '' }
  if (
    isNullKeyUnderGrace(spec) &&
    kafka.steps.some((step) => step.error?.startsWith('NullPointerException') === true)
  ) {
    return { verdict: 'kafka-fails', reason: '' }
  }
  const quirk = quirkOf(spec)
  if (quirk === null) return different(firstDifference(spec, expected, found))
  if (same(quirk.expected, found)) return { verdict: quirk.name, reason: '' }
  return different(`${quirk.name}: ${firstDifference(spec, quirk.expected, found)}`)
}

const exact: Comparison = { verdict: 'exact', reason: '' }

function different(reason: string): Comparison {
  return { verdict: 'different', reason }
}

/** The quirk that an input hits, and what our rule makes of it; null for an input that hits none. */
export function quirkOf(spec: Spec): { readonly name: 'Q1' | 'Q2' | 'Q3' | 'Q4'; readonly expected: Steps } | null {
  const windowed = spec.nodes.find((node) => node.op === 'windowedBy')
  if (windowed?.window?.type === 'session') {
    const { steps, isOnTheEdge, isFinalTooEarly } = sessionModel(spec)
    const isMemory = (spec.stores ?? 'memory') === 'memory'
    if (windowed.emit === 'close') return isMemory ? { name: 'Q3', expected: steps } : null
    return isOnTheEdge || isFinalTooEarly ? { name: 'Q4', expected: steps } : null
  }
  if (windowed?.emit === 'close') {
    const { steps, isForgotten } = closeModel(spec)
    return isForgotten ? { name: 'Q2', expected: steps } : null
  }
  if (isOuterStreamJoin(spec)) {
    const { steps, isHeldBack } = joinModel(spec)
    return isHeldBack ? { name: 'Q1', expected: steps } : null
  }
  return null
}

function isOuterStreamJoin(spec: Spec): boolean {
  return spec.nodes.some((node) => node.op === 'join' && node.window !== undefined && node.kind !== 'inner')
}

/** A left join of a stream with a table passes records without a key; with a grace Kafka's buffer throws on them. */
function isNullKeyUnderGrace(spec: Spec): boolean {
  const join = spec.nodes.find((node) => node.op === 'join' && node.grace !== undefined && node.kind === 'left')
  return join !== undefined && spec.input.some((input) => 'key' in input && input.key === null)
}

function isEmittedByClose(spec: Spec): boolean {
  return isOuterStreamJoin(spec) || spec.nodes.some((node) => node.emit === 'close')
}

/** Stores of tables, dropped records, the description: where they are comparable, they are equal. */
function sideEffects(spec: Spec, kafka: SpecResult, ours: SpecResult): string {
  const hasJoinStores = spec.nodes.some((node) => node.op === 'join' && node.window !== undefined)
  const hasSessions = spec.nodes.some((node) => node.window?.type === 'session')
  if (kafka.topology !== undefined && normalized(kafka.topology) !== normalized(ours.topology ?? '')) {
    return `described as ${ours.topology}, Kafka ${kafka.topology}`
  }
  if (!hasJoinStores && !hasSessions && kafka.dropped !== ours.dropped) {
    return `dropped ${ours.dropped}, Kafka ${kafka.dropped}`
  }
  // In memory the oracle names the stores of a join by hand.
  const hasOwnNames = hasJoinStores && (spec.stores ?? 'memory') === 'memory'
  if (kafka.internalTopics !== undefined && !hasOwnNames && !same(kafka.internalTopics, ours.internalTopics)) {
    return `internal topics ${ours.internalTopics?.join(' ')}, Kafka ${kafka.internalTopics.join(' ')}`
  }
  for (const [name, entries] of Object.entries(ours.stores)) {
    // Kafka's entries of foreign-key subscriptions and of waiting join records are in forms of their own.
    if (!same(kafka.stores[name], entries))
      return `store ${name}: ${entries.join(' ')}, Kafka ${kafka.stores[name]?.join(' ')}`
  }
  return ''
}

/** Java lists the names on a line in the order of its hash sets; all else is in a fixed order. */
function normalized(description: string): string {
  return description
    .replaceAll(/\(stores: \[(.*)\]\)/g, (_, names: string) => `(stores: [${names.split(', ').toSorted().join(', ')}])`)
    .replaceAll(
      /(-->|<--) (.*)/g,
      (_, arrow: string, names: string) => `${arrow} ${names.split(', ').toSorted().join(', ')}`,
    )
}

function same(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}

function sameByKey(left: Steps, right: Steps): boolean {
  const byKey = (steps: Steps): unknown => {
    const keys = new Map<string, SpecOutput[]>()
    for (const output of steps.flat()) {
      const id = `${output.topic} ${output.key}`
      keys.set(id, [...(keys.get(id) ?? []), output])
    }
    return [...keys].toSorted(([a], [b]) => (a < b ? -1 : 1))
  }
  return same(byKey(left), byKey(right))
}

function firstDifference(spec: Spec, expected: Steps, found: Steps): string {
  const index = expected.findIndex((out, step) => !same(out, found[step]))
  const text = (out: readonly SpecOutput[] | undefined): string =>
    out?.map(({ topic, key, value, ts }) => `${topic}:${key}=${value}@${ts}`).join(' ') ?? 'nothing'
  const input = JSON.stringify(spec.input[index])
  return `${spec.name}: step ${index} ${input}: expected ${text(expected[index])}, found ${text(found[index])}`
}
