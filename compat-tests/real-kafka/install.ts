import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { missing } from '../harness/languages.ts'
import { run } from '../harness/processes.ts'

const here = import.meta.dirname
const pom = join(here, 'pom.xml')

/** The version of Apache Kafka that the compatibility tests compare with, as `pom.xml` names it. */
export const kafkaVersion = /<kafka\.version>(.+?)</.exec(readFileSync(pom, 'utf8'))![1]!

/** Where its files are once installed: `libs/` with the jars, `formatted/` with an empty formatted log directory. */
export const kafkaHome = resolve(here, '..', '.cache', `kafka-${kafkaVersion}`)

/** Class path of the broker and of every tool of the distribution. */
export const kafkaClassPath = join(kafkaHome, 'libs', '*')

/** Why a real Kafka cannot be had on this machine, or null when it can. */
export function realKafkaMissing(): string | null {
  return missing('java') ?? (existsSync(join(kafkaHome, 'libs')) ? null : missing('mvn'))
}

let installing: Promise<void> | undefined

/** Copies Kafka's jars out of Maven Central, once per checkout. Safe to call from several processes at the same time. */
export function installRealKafka(): Promise<void> {
  installing ??= install()
  return installing
}

async function install(): Promise<void> {
  const libs = join(kafkaHome, 'libs')
  if (existsSync(libs)) return

  const unfinished = `${kafkaHome}.${process.pid}`
  mkdirSync(kafkaHome, { recursive: true })
  try {
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${unfinished}`]
    const result = await run('mvn', ['-q', '-B', '-f', pom, ...goal], { timeoutMs: 600_000 })
    if (result.exitCode !== 0) throw new Error(`mvn ended with ${result.exitCode}:\n${result.stdout}${result.stderr}`)
    renameSync(unfinished, libs)
  } catch (cause) {
    // Another process was faster when its libs are there; its jars are the same.
    if (!existsSync(libs)) throw cause
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  await installRealKafka()
  console.log(`${readdirSync(join(kafkaHome, 'libs')).length} jars of Apache Kafka ${kafkaVersion} in ${kafkaHome}`)
}
