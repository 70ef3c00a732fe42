import type { ConfigEntry, SourcedText } from '../config/config-entries.ts'
import type { OptionType } from '../config/option.ts'

/** The numbers by which DescribeConfigs and CreateTopics tell where a value comes from. */
export const ConfigSourceId: Readonly<Record<SourcedText['source'], number>> = {
  topic: 1,
  'dynamic broker': 2,
  'dynamic default broker': 3,
  'static broker': 4,
  default: 5,
  group: 8,
}

const TYPES: readonly (OptionType | undefined)[] = [
  undefined,
  'boolean',
  'string',
  'int',
  'short',
  'long',
  'double',
  'list',
  'class',
  'password',
]

export function configTypeId(type: ConfigEntry['type']): number {
  return TYPES.indexOf(type)
}
