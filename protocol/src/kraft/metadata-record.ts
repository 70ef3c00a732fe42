import { message, type Fields, type Message, type MessageSpec } from '../schema.ts'

/** A record of the metadata log: a message with the key by which the log tells its kinds apart. */
export interface MetadataRecordTable<F extends Fields = Fields> extends Message<F> {
  readonly key: number
}

export function metadataRecord<F extends Fields>(
  spec: MessageSpec<F> & { readonly key: number },
): MetadataRecordTable<F> {
  return { ...message(spec), key: spec.key }
}
