import { describe, expect, it } from 'vitest'
import { Scale, svgChart } from './chart.ts'

describe('a scale', () => {
  it('puts its smallest and largest value at its edges', () => {
    const scale = new Scale({ label: 'x', isLogarithmic: true }, [1, 10, 2000], 80, 740)
    expect(scale.at(1)).toBe(80)
    expect(scale.at(2000)).toBeCloseTo(740)
    expect(scale.ticks()).toEqual([1, 10, 100, 1000])
  })

  it('starts at nothing where it is linear', () => {
    const scale = new Scale({ label: 'y' }, [40, 145], 300, 40)
    expect(scale.at(0)).toBe(300)
    expect(scale.at(145)).toBe(40)
    expect(scale.ticks()).toEqual([0, 50, 100])
  })

  it('has ticks even where it is logarithmic and spans little', () => {
    const scale = new Scale({ label: 'y', isLogarithmic: true }, [0.241, 0.466], 300, 40)
    expect(scale.ticks()).toEqual([0.2, 0.5])
    expect(scale.at(0.2)).toBe(300)
    expect(scale.at(0.5)).toBeCloseTo(40)
  })

  it('can be made of one value', () => {
    for (const isLogarithmic of [true, false]) {
      const scale = new Scale({ label: 'x', isLogarithmic }, [7], 0, 100)
      expect(scale.at(7)).toBeGreaterThanOrEqual(0)
      expect(scale.at(7)).toBeLessThanOrEqual(100)
    }
  })
})

describe('a chart', () => {
  it('draws every point that can be shown and names every series', () => {
    const svg = svgChart({
      title: 'a < b',
      x: { label: 'offered', isLogarithmic: true },
      y: { label: 'ms', isLogarithmic: true },
      series: [
        {
          name: 'p99',
          color: 0,
          points: [
            [1, 1],
            [10, 5],
            [100, NaN],
          ],
        },
        {
          name: 'p50',
          color: 0,
          isDashed: true,
          points: [
            [1, 0.5],
            [10, 0],
          ],
        },
      ],
    })
    expect(svg.match(/<circle/g)).toHaveLength(3)
    expect(svg).toContain('>p99</text>')
    expect(svg).toContain('stroke-dasharray')
    expect(svg).toContain('a &lt; b')
    expect(svg).not.toContain('NaN')
  })
})
