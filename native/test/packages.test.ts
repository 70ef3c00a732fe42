import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const native = join(import.meta.dirname, '..')
const json = (path: string) => JSON.parse(readFileSync(join(native, path), 'utf8'))

/** What `process.platform` and `process.arch` say on the machines that a package is for. */
const packages = readdirSync(join(native, 'npm')).map((triple) => ({ triple, ...json(`npm/${triple}/package.json`) }))

describe('the packages of the native module', () => {
  it('are one for each target', () => {
    expect(packages.length).toBe(json('package.json').napi.targets.length)
    expect(packages.length).toBeGreaterThanOrEqual(5)
  })

  it.each(packages)('$triple is installed where the loader looks for it, and nowhere else', (found) => {
    const { triple, name, main, files, version, license, os, cpu } = found
    expect(name).toBe(`@millrace/native-${triple}`)
    expect(main).toBe(`millrace-native.${triple}.node`)
    expect(files).toEqual([main])
    expect(version).toBe(json('package.json').version)
    expect(license).toBe('Apache-2.0')
    expect(triple.startsWith(`${os[0]}-${cpu[0]}`)).toBe(true)
    expect([os.length, cpu.length]).toEqual([1, 1])
    // It is there when a release is put together, and no binary is in the repository.
    expect(existsSync(join(native, 'npm', triple, 'README.md'))).toBe(true)
  })
})
