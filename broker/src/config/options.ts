import { brokerSections } from './broker-options.ts'
import { groupOptions } from './group-options.ts'
import type { Option } from './option.ts'
import { brokerNamesOfTopic, topicOptions } from './topic-options.ts'

export { brokerSections, groupOptions, topicOptions }

const byName = (options: readonly Option[]): ReadonlyMap<string, Option> =>
  new Map(options.map((option) => [option.name, option]))

export const brokerOption = byName(
  brokerSections.flatMap(({ missing, isHarmless = false, options }) =>
    missing === undefined ? options : options.map((row) => ({ missing, isHarmless, ...row })),
  ),
)
export const topicOption = byName(topicOptions)
export const groupOption = byName(groupOptions)

const CHAINS = [
  ['log.retention.ms', 'log.retention.minutes', 'log.retention.hours'],
  ['log.roll.ms', 'log.roll.hours'],
  ['log.roll.jitter.ms', 'log.roll.jitter.hours'],
]

/** The broker settings that answer for this one, in the order in which they are asked: itself is among them. */
export function synonyms(name: string): readonly string[] {
  if (name === 'log.flush.interval.ms') return [name, 'log.flush.scheduler.interval.ms']
  return CHAINS.find((chain) => chain.includes(name)) ?? [name]
}

const LISTENER_SETTING = /^listener\.name\.[^.]+\.(.+)$/

/** The option a broker setting sets: for `listener.name.external.ssl.keystore.location` that of the last part. */
export function optionOf(name: string): Option | undefined {
  const known = brokerOption.get(name)
  const rest = known ? undefined : LISTENER_SETTING.exec(name)?.[1]
  if (rest === undefined) return known
  return brokerOption.get(rest) ?? brokerOption.get(rest.slice(rest.indexOf('.') + 1))
}

/** The setting that somebody who wrote an unknown name most likely meant. */
export function nearest(name: string): string | undefined {
  const ofTopic = brokerNamesOfTopic[name]?.[0]
  if (ofTopic) return ofTopic.name
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(name.length / 4)) + 1
  for (const known of brokerOption.keys()) {
    if (Math.abs(known.length - name.length) >= bestDistance) continue
    const distance = editDistance(name, known)
    if (distance < bestDistance) [best, bestDistance] = [known, distance]
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
