import type { Broker, Contestant } from '../measure/brokers.ts'

/** Figures of one round, by the keys of the scenario's metrics. One that is missing was not seen. */
export type Figures = Readonly<Record<string, number>>

/** What ours must reach, in the median. A ratio is ours divided by Kafka's. */
export interface Bar {
  readonly ratioAtLeast?: number
  readonly ratioAtMost?: number
  readonly atLeast?: number
  readonly atMost?: number
  /** Which contestant the ratio is to; the second unless given. */
  readonly against?: string
}

export interface Metric {
  readonly key: string
  readonly label: string
  readonly unit: string
  readonly bars?: readonly Bar[]
}

export interface Time {
  /** How long a round measures. */
  readonly seconds: number
}

/** One question, asked of every contestant in turn. */
export interface Scenario {
  readonly name: string
  readonly title: string
  /** Ours first: every ratio is that of the first to another. */
  readonly contestants: readonly Contestant[]
  readonly metrics: readonly Metric[]
  /** How long a measured round takes where nothing else is asked for; 10 seconds unless given. */
  readonly seconds?: number
  /** What is set, for the table. */
  readonly settings: Readonly<Record<string, string | number>>
  /** Why it cannot be run on this machine, or null. */
  readonly missing?: () => string | null
  /** Something that takes long and belongs to no round, such as an install. */
  readonly prepare?: () => Promise<void>
  /** One round against a broker that runs. Also what warms it up. */
  readonly round?: (broker: Broker, time: Time) => Promise<Figures>
  /** One round of a scenario that starts its brokers itself, and has nothing to warm up. */
  readonly ownRound?: (contestant: Contestant, time: Time) => Promise<Figures>
  /** A round writes gigabytes into the page cache, so that it matters in which state free memory is. */
  readonly fillsMemory?: boolean
  /** Fills what is read in every round; once per broker, before the warm-up. */
  readonly fill?: (broker: Broker) => Promise<void>
}
