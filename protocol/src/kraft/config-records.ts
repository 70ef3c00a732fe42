import { metadataRecord } from './metadata-record.ts'
import { array, bool, float64, int8, string } from '../schema.ts'

/** One setting of a topic (resource type 2) or of brokers (4, with an empty name for all of them). */
export const configRecord = metadataRecord({
  key: 4,
  name: 'ConfigRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    resourceType: int8(),
    resourceName: string(),
    name: string(),
    // Null removes the setting.
    value: string({ nullable: true }),
  },
})

/** One quota of a user, a client id or an address. */
export const clientQuotaRecord = metadataRecord({
  key: 14,
  name: 'ClientQuotaRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    entity: array({
      entityType: string(),
      // Null: the default for entities of this type.
      entityName: string({ nullable: true }),
    }),
    key: string(),
    // Without meaning when `remove` is set.
    value: float64(),
    remove: bool(),
  },
})
