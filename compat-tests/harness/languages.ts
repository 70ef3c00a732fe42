import { spawnSync } from 'node:child_process'

const probes = {
  java: ['-version'],
  mvn: ['-v'],
  go: ['version'],
  python3: ['--version'],
} as const

export type Language = keyof typeof probes

const answers = new Map<Language, string | null>()

/**
 * Why tests in this language cannot run here, or null when they can. The reason is printed once, so that a skipped
 * suite is never silent: `describe.skipIf(missing('go'))('...', ...)`.
 */
export function missing(language: Language): string | null {
  let reason = answers.get(language)
  if (reason === undefined) {
    const probe = spawnSync(language, probes[language], { stdio: 'ignore' })
    reason = probe.status === 0 ? null : `${language} is not installed`
    if (reason !== null) console.warn(`skipped: ${reason}`)
    answers.set(language, reason)
  }
  return reason
}
