import { describe, expect, it } from 'vitest'
import { sourcesOf } from './protocol-show.ts'

describe('protocol-show', () => {
  it('shows request and response of an API by its name', () => {
    const sources = sourcesOf('produce', 9)
    expect(sources).toHaveLength(2)
    expect(sources[0]).toContain('// ProduceRequest, version 9')
    expect(sources[0]).toContain('r.compactNullableBytes()')
    expect(sources[1]).toContain('sourceURL=protocol/ProduceResponse.v9.js')
  })

  it('shows one message', () => {
    expect(sourcesOf('FetchResponse', 4)).toHaveLength(1)
    expect(sourcesOf('partitionRecord', 2)).toHaveLength(1)
  })

  it('says which names and versions there are not', () => {
    expect(() => sourcesOf('nothing', 0)).toThrow('there is no API and no message nothing')
    expect(() => sourcesOf('produce', 2)).toThrow('ProduceRequest has the versions 3 to 13')
    expect(() => sourcesOf('produce', Number.NaN)).toThrow(RangeError)
  })
})
