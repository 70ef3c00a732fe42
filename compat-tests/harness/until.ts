export interface UntilOptions {
  /** 30 seconds unless given. */
  readonly timeoutMs?: number
  /** What is waited for, for the message when it does not happen. */
  readonly what: string
}

type Truthy<T> = Exclude<T, false | 0 | 0n | '' | null | undefined>

/**
 * Waits for a condition by asking again and again, and returns its first truthy value. An exception of the condition
 * counts as "not yet"; the last one is the cause of the error when time is up.
 */
export async function until<T>(condition: () => T | Promise<T>, options: UntilOptions): Promise<Truthy<T>> {
  const { timeoutMs = 30_000, what } = options
  const deadlineMs = performance.now() + timeoutMs
  let last: unknown
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    try {
      last = await condition()
      if (last) return last as Truthy<T>
    } catch (error) {
      last = error
    }
    if (performance.now() > deadlineMs) {
      throw new Error(`after ${timeoutMs} ms still no ${what}; last: ${describe(last)}`, { cause: last })
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

function describe(value: unknown): string {
  return value instanceof Error ? value.message : JSON.stringify(value)
}
