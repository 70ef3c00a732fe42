import { clientScenarios } from './clients.ts'
import { consumeScenarios } from './consume.ts'
import { durabilityScenarios } from './durability.ts'
import { footprintScenarios } from './footprint.ts'
import { produceScenarios } from './produce.ts'
import type { Scenario } from './scenario.ts'
import { transactionScenarios } from './transactions.ts'

/** In the order in which they run and are shown. */
export const scenarios: readonly Scenario[] = [
  ...produceScenarios,
  ...consumeScenarios,
  ...durabilityScenarios,
  ...footprintScenarios,
  ...clientScenarios,
  ...transactionScenarios,
]

/** Those whose names are one of these, or begin with one; all of them where none is given. */
export function chosen(names: readonly string[]): Scenario[] {
  for (const name of names) {
    if (!scenarios.some((scenario) => scenario.name.startsWith(name))) {
      throw new Error(`no scenario is called ${name}; there are: ${scenarios.map((known) => known.name).join(', ')}`)
    }
  }
  // An exact name means that one alone, even where others begin with it.
  const isWanted = (scenario: Scenario): boolean =>
    names.some((name) =>
      scenarios.some((known) => known.name === name) ? scenario.name === name : scenario.name.startsWith(name),
    )
  return names.length === 0 ? [...scenarios] : scenarios.filter(isWanted)
}
