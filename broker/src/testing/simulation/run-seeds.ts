import { simulate, type SimulationResult } from './world.ts'

/** How a test says what goes on: the lines that reproduce it, and what was wrong. */
export async function failuresOf(
  first: number,
  count: number,
  nextTurn: (callback: () => void) => void,
): Promise<{ readonly failures: string[]; readonly results: SimulationResult[] }> {
  const results: SimulationResult[] = []
  for (let seed = first; seed < first + count; seed++) results.push(await simulate({ seed, nextTurn }))
  const failures = results.flatMap(({ seed, failures: own }) =>
    own.length === 0 ? [] : [`npm run simulate -- --seed ${seed}: ${own.slice(0, 3).join('; ')}`],
  )
  return { failures, results }
}
