export interface Series {
  readonly name: string
  /** The same colour for what belongs together. */
  readonly color: number
  readonly isDashed?: boolean
  readonly points: readonly (readonly [number, number])[]
}

export interface Axis {
  readonly label: string
  readonly isLogarithmic?: boolean
}

export interface Chart {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
}

const colors = ['#0b63ce', '#c2410c', '#15803d', '#7e22ce']
const width = 760
const height = 420
const frame = { left: 78, right: width - 20, top: 46, bottom: height - 92 }
const LEGEND_COLUMN = 170

/** A line chart as SVG text, on white, so that it reads the same in a dark viewer. */
export function svgChart({ title, x, y, series }: Chart): string {
  const points = series.flatMap((line) => line.points).filter(([px, py]) => Number.isFinite(px) && Number.isFinite(py))
  const across = new Scale(
    x,
    points.map(([px]) => px),
    frame.left,
    frame.right,
  )
  const up = new Scale(
    y,
    points.map(([, py]) => py),
    frame.bottom,
    frame.top,
  )
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${frame.left}" y="24" font-size="15" font-weight="bold">${escaped(title)}</text>`,
  ]
  for (const value of across.ticks()) {
    const at = place(across.at(value))
    parts.push(
      `<line x1="${at}" x2="${at}" y1="${frame.top}" y2="${frame.bottom}" stroke="#e5e5e5"/>`,
      `<text x="${at}" y="${frame.bottom + 18}" text-anchor="middle">${short(value)}</text>`,
    )
  }
  for (const value of up.ticks()) {
    const at = place(up.at(value))
    parts.push(
      `<line x1="${frame.left}" x2="${frame.right}" y1="${at}" y2="${at}" stroke="#e5e5e5"/>`,
      `<text x="${frame.left - 8}" y="${at + 4}" text-anchor="end">${short(value)}</text>`,
    )
  }
  const middle = (frame.top + frame.bottom) / 2
  parts.push(
    `<text x="${(frame.left + frame.right) / 2}" y="${frame.bottom + 40}" text-anchor="middle">${escaped(x.label)}</text>`,
    `<text x="18" y="${middle}" text-anchor="middle" transform="rotate(-90 18 ${middle})">${escaped(y.label)}</text>`,
  )
  series.forEach((line, index) => {
    const color = colors[line.color % colors.length]!
    const dash = line.isDashed === true ? ' stroke-dasharray="5 4"' : ''
    const seen = line.points.filter(([px, py]) => across.canShow(px) && up.canShow(py))
    const path = seen.map(([px, py]) => `${place(across.at(px))},${place(up.at(py))}`).join(' ')
    parts.push(`<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"${dash}/>`)
    for (const [px, py] of seen) {
      parts.push(`<circle cx="${place(across.at(px))}" cy="${place(up.at(py))}" r="3" fill="${color}"/>`)
    }
    const left = frame.left + (index % 4) * LEGEND_COLUMN
    const top = frame.bottom + 62 + Math.floor(index / 4) * 18
    parts.push(
      `<line x1="${left}" x2="${left + 26}" y1="${top - 4}" y2="${top - 4}" stroke="${color}" stroke-width="2"${dash}/>`,
      `<text x="${left + 32}" y="${top}">${escaped(line.name)}</text>`,
    )
  })
  return `${parts.join('\n')}\n</svg>\n`
}

/** Where values lie between two edges. */
export class Scale {
  readonly #isLogarithmic: boolean
  readonly #low: number
  readonly #high: number
  readonly #from: number
  readonly #to: number

  constructor(axis: Axis, values: readonly number[], from: number, to: number) {
    this.#isLogarithmic = axis.isLogarithmic === true
    const shown = this.#isLogarithmic ? values.filter((value) => value > 0) : values
    const high = Math.max(...shown, this.#isLogarithmic ? 1e-3 : 0)
    // A logarithmic axis begins and ends at a round value, so that it has ticks however little it spans.
    this.#low = this.#isLogarithmic ? roundBelow(Math.min(...shown, high)) : 0
    this.#high = this.#isLogarithmic ? roundAbove(high, this.#low) : high > 0 ? high : 1
    this.#from = from
    this.#to = to
  }

  canShow(value: number): boolean {
    return Number.isFinite(value) && (!this.#isLogarithmic || value > 0)
  }

  at(value: number): number {
    const share = this.#isLogarithmic
      ? Math.log(value / this.#low) / Math.log(this.#high / this.#low)
      : (value - this.#low) / (this.#high - this.#low)
    return this.#from + share * (this.#to - this.#from)
  }

  ticks(): number[] {
    return this.#isLogarithmic ? this.#powers() : this.#steps()
  }

  #powers(): number[] {
    const decades = Math.log10(this.#high / this.#low)
    const factors = decades > 3 ? [1] : [1, 2, 5]
    const ticks: number[] = []
    for (let power = Math.floor(Math.log10(this.#low)); power <= Math.log10(this.#high); power += 1) {
      ticks.push(...factors.map((factor) => factor * 10 ** power))
    }
    // A little is forgiven, so that rounding does not hide an edge.
    return ticks.filter((value) => value >= this.#low * 0.999 && value <= this.#high * 1.001)
  }

  #steps(): number[] {
    const wanted = (this.#high - this.#low) / 5
    const power = 10 ** Math.floor(Math.log10(wanted))
    const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= wanted) ?? 10)
    const count = Math.floor((this.#high - this.#low) / step)
    return Array.from({ length: count + 1 }, (_, index) => this.#low + index * step)
  }
}

const roundFactors = [1, 2, 5, 10]

function roundBelow(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * roundFactors.findLast((factor) => factor * power <= value * 1.001)!
}

function roundAbove(value: number, low: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  const above = power * roundFactors.find((factor) => factor * power >= value * 0.999)!
  return above > low ? above : above * 2
}

function place(value: number): number {
  return Math.round(value * 10) / 10
}

function short(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(3))} K`
  return String(Number(value.toPrecision(3)))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
