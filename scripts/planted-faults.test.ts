import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { plantedFaults } from './planted-faults-table.ts'

const root = resolve(import.meta.dirname, '..')

describe('the planted faults', () => {
  it('are many, each of its own', () => {
    expect(plantedFaults.length).toBeGreaterThanOrEqual(25)
    expect(new Set(plantedFaults.map(({ name }) => name)).size).toBe(plantedFaults.length)
  })

  it.each(plantedFaults)('can be planted: $name', ({ file, find, replace, tests }) => {
    expect(readFileSync(join(root, file), 'utf8').split(find)).toHaveLength(2)
    expect(replace).not.toBe(find)
    expect(tests.filter((test) => !existsSync(join(root, test)))).toEqual([])
  })
})
