/** What is needed of a .cpuprofile, as V8 writes it. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  /** Which node was running at each look, and the microseconds since the look before. */
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

export interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
}

export interface Entry {
  readonly what: string
  readonly where: string
  readonly micros: number
  /** Of the time in which the loop was not idle. */
  readonly share: number
}

export interface Busy {
  readonly entries: readonly Entry[]
  /** Of the whole time. */
  readonly idleShare: number
}

const IDLE = '(idle)'

/** Functions by the time spent in themselves, most first; what ran before `fromMicros` is left out. */
export function busiestFunctions(profile: CpuProfile, fromMicros = 0): Busy {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]))
  const micros = new Map<string, { what: string; where: string; micros: number }>()
  let elapsed = 0
  let total = 0
  let idle = 0
  profile.samples.forEach((id, index) => {
    const delta = Math.max(0, profile.timeDeltas[index] ?? 0)
    elapsed += delta
    const frame = frames.get(id)
    if (frame === undefined || elapsed <= fromMicros) return
    total += delta
    if (frame.functionName === IDLE) {
      idle += delta
      return
    }
    const what = frame.functionName === '' ? '(anonymous)' : frame.functionName
    const where = frame.url === '' ? '' : `${shortened(frame.url)}:${frame.lineNumber + 1}`
    const key = `${what} ${where}`
    const entry = micros.get(key) ?? { what, where, micros: 0 }
    entry.micros += delta
    micros.set(key, entry)
  })
  const entries = [...micros.values()]
    .map((entry) => ({ ...entry, share: entry.micros / (total - idle) }))
    .toSorted((a, b) => b.micros - a.micros)
  return { entries, idleShare: total === 0 ? 0 : idle / total }
}

/** The last three parts of a path: enough to find a file, and without anybody's home in it. */
function shortened(url: string): string {
  return url.startsWith('node:') ? url : url.split('/').slice(-3).join('/')
}
