import { describe, expect, it } from 'vitest'
import {
  decodeMetadataRecord,
  encodeMetadataRecord,
  metadataRecords,
  type MetadataRecordInput,
} from './metadata-records.ts'

const topicId = 'EjRWeJq83vASNFZ4mrze8A'

describe('a metadata record', () => {
  it('stands in a frame of version, key and message version', () => {
    const bytes = encodeMetadataRecord({ type: 'topicRecord', version: 0, value: { name: 'orders', topicId } })
    expect(bytes.toString('hex')).toBe(
      '01 02 00 07 6f7264657273 123456789abcdef0123456789abcdef0 00'.replaceAll(' ', ''),
    )
  })

  it.each<MetadataRecordInput>([
    { type: 'featureLevelRecord', version: 0, value: { name: 'metadata.version', featureLevel: 29 } },
    { type: 'partitionChangeRecord', version: 2, value: { partitionId: 1, topicId, isr: [1, 2], leader: -1 } },
    { type: 'configRecord', version: 0, value: { resourceType: 2, resourceName: 'orders', name: 'x', value: null } },
    { type: 'noOpRecord', version: 0, value: {} },
    { type: 'unregisterControllerRecord', version: 0, value: { controllerId: 4 } },
  ])('comes back as it was: $type', (record) => {
    expect(decodeMetadataRecord(encodeMetadataRecord(record))).toMatchObject(record)
  })

  it('has the fields of its kind', () => {
    const record = decodeMetadataRecord(
      Buffer.from('010c000d6b726166742e76657273696f6e000100'.replace('0d', '0e'), 'hex'),
    )
    const value = { name: 'kraft.version', featureLevel: 1 }
    expect(record).toEqual({ type: 'featureLevelRecord', version: 0, value })
  })

  it.each([
    ['02 02 00', 'frame of version 2'],
    ['01 6d 00', 'unknown key 109'],
    ['01 02 05', 'TopicRecord has no version 5'],
    ['01 14 00 00 00', '1 bytes behind a NoOpRecord'],
  ])('%s is refused: %s', (hex, message) => {
    expect(() => decodeMetadataRecord(Buffer.from(hex.replaceAll(' ', ''), 'hex'))).toThrow(message)
  })

  it('has a key of its own', () => {
    const keys = Object.values(metadataRecords).map(({ key }) => key)
    expect(new Set(keys).size).toBe(keys.length)
    expect(keys).toHaveLength(27)
  })
})
