/** One line of the oracle's input: a topology, and what is fed to it. See test/oracle/README.md. */
export interface Spec {
  readonly name: string
  readonly stores?: 'memory' | 'rocks'
  readonly config?: Readonly<Record<string, string>>
  readonly wallClock?: number
  readonly topics?: boolean
  readonly describe?: boolean
  readonly nodes: readonly SpecNode[]
  readonly input: readonly SpecInput[]
}

export interface SpecNode {
  readonly id?: string
  readonly op: string
  readonly in?: string | readonly string[]
  readonly topic?: string
  readonly fn?: string
  readonly kind?: string
  readonly versioned?: number
  readonly grace?: number
  readonly retention?: number
  readonly emit?: string
  readonly until?: string
  readonly ms?: number
  readonly every?: number
  readonly maxRecords?: number
  readonly window?: {
    readonly type?: string
    readonly size?: number
    readonly advance?: number
    readonly gap?: number
    readonly grace?: number
    readonly before?: number
    readonly after?: number
  }
}

export type SpecInput =
  | { readonly topic: string; readonly key: string | null; readonly value: string | null; readonly ts: number }
  | { readonly advanceWallClock: number }

export interface SpecOutput {
  readonly topic: string
  readonly key: string | null
  readonly value: string | null
  readonly ts: number
}

export interface SpecResult {
  readonly name: string
  readonly error?: string
  readonly steps: readonly { readonly out: readonly SpecOutput[]; readonly error?: string }[]
  readonly dropped: number
  readonly topology?: string
  readonly internalTopics?: readonly string[]
  readonly stores: Readonly<Record<string, readonly string[]>>
}
