import type { StoreOptions } from './key-value-store.ts'
import { asBuffer, mapKey, type MapKey } from './map-key.ts'
import type { StateStore, SubscriptionDefinition } from './store.ts'
import { KeyValueStore } from './key-value-store.ts'
import type { Serde } from '../serdes/serde.ts'

interface CombinedKey {
  readonly foreign: Buffer
  readonly primary: Buffer
}

/** A left row that waits for what the right table says about its foreign key. */
export interface Subscription<K> {
  readonly primaryKey: K
  /** Fingerprint of the left value that asked; the answer carries it back, so that a stale one is recognized. */
  readonly fingerprint: Buffer | null
  readonly primaryPartition: number
}

/**
 * Who is interested in which foreign key: rows by foreign key bytes and primary key bytes, read by prefix.
 *
 * The changelog key is Kafka Streams': length of the foreign key, foreign key, primary key.
 */
export class SubscriptionStore<FK, K> implements StateStore {
  readonly name: string
  readonly definition: SubscriptionDefinition
  readonly changelogTopic: string | null
  readonly #rows: KeyValueStore<CombinedKey, Subscription<K>>
  /** Subscribers by foreign key, so that a prefix needs no scan. */
  readonly #byForeignKey = new Map<MapKey, Map<string, CombinedKey>>()
  #isIndexed: boolean

  constructor(definition: SubscriptionDefinition, options: StoreOptions) {
    this.name = definition.name
    this.definition = definition
    this.changelogTopic = options.changelogTopic
    this.#rows = new KeyValueStore(
      {
        kind: 'key-value',
        name: definition.name,
        hasChangelog: definition.hasChangelog,
        keySerde: COMBINED_KEY as Serde<unknown>,
        valueSerde: subscriptionSerde(definition.primaryKeySerde as Serde<K>) as Serde<unknown>,
      },
      options,
    )
    this.#isIndexed = options.backing === null
  }

  get restoredOffset(): number | null {
    return this.#rows.restoredOffset
  }

  get entryCount(): number {
    return this.#rows.entryCount
  }

  put(foreignKey: FK, subscription: Subscription<K>, timestampMs: number): void {
    const combined = this.#combine(foreignKey, subscription.primaryKey)
    this.#rows.put(combined, subscription, timestampMs)
    let subscribers = this.#subscribers(foreignKey)
    if (subscribers === undefined) {
      subscribers = new Map()
      this.#byForeignKey.set(mapKey(foreignKey, this.definition.keySerde), subscribers)
    }
    subscribers.set(combined.primary.toString('latin1'), combined)
  }

  delete(foreignKey: FK, primaryKey: K): void {
    const combined = this.#combine(foreignKey, primaryKey)
    this.#rows.delete(combined)
    const subscribers = this.#subscribers(foreignKey)
    subscribers?.delete(combined.primary.toString('latin1'))
    if (subscribers?.size === 0) this.#byForeignKey.delete(mapKey(foreignKey, this.definition.keySerde))
  }

  /** The subscriptions of a foreign key by primary key bytes. */
  *of(foreignKey: FK): Generator<Subscription<K>> {
    const subscribers = this.#subscribers(foreignKey)
    if (subscribers === undefined) return
    const keys = [...subscribers.values()].toSorted((left, right) => Buffer.compare(left.primary, right.primary))
    for (const key of keys) {
      const subscription = this.#rows.get(key)
      if (subscription !== null) yield subscription
    }
  }

  restore(key: Buffer, value: Buffer | null, timestampMs: number): void {
    this.#rows.restore(key, value, timestampMs)
    this.#isIndexed = false
  }

  get unflushedBytes(): number {
    return this.#rows.unflushedBytes
  }

  flush(): void {
    this.#rows.flush()
  }

  persist(changelogOffset: number | null): void {
    this.#rows.persist(changelogOffset)
  }

  close(): void {
    this.#rows.close()
  }

  #subscribers(foreignKey: FK): Map<string, CombinedKey> | undefined {
    if (!this.#isIndexed) this.#index()
    return this.#byForeignKey.get(mapKey(foreignKey, this.definition.keySerde))
  }

  #index(): void {
    this.#byForeignKey.clear()
    for (const { key } of this.#rows.entries()) {
      const id = mapKey(this.definition.keySerde.deserialize(key.foreign), this.definition.keySerde)
      const subscribers = this.#byForeignKey.get(id) ?? new Map<string, CombinedKey>()
      subscribers.set(key.primary.toString('latin1'), key)
      this.#byForeignKey.set(id, subscribers)
    }
    this.#isIndexed = true
  }

  #combine(foreignKey: FK, primaryKey: K): CombinedKey {
    return {
      foreign: asBuffer(this.definition.keySerde.serialize(foreignKey)),
      primary: asBuffer(this.definition.primaryKeySerde.serialize(primaryKey)),
    }
  }
}

const COMBINED_KEY: Serde<CombinedKey> = {
  name: 'foreign and primary key',
  serialize({ foreign, primary }) {
    const bytes = Buffer.allocUnsafe(4 + foreign.length + primary.length)
    bytes.writeInt32BE(foreign.length)
    foreign.copy(bytes, 4)
    primary.copy(bytes, 4 + foreign.length)
    return bytes
  },
  deserialize(bytes) {
    const end = 4 + bytes.readInt32BE()
    return { foreign: Buffer.from(bytes.subarray(4, end)), primary: Buffer.from(bytes.subarray(end)) }
  },
}

function subscriptionSerde<K>(primaryKeySerde: Serde<K>): Serde<Subscription<K>> {
  return {
    name: 'subscription',
    serialize({ primaryKey, fingerprint, primaryPartition }) {
      const key = primaryKeySerde.serialize(primaryKey)
      const bytes = Buffer.alloc(FINGERPRINT_BYTES + 5 + key.length)
      bytes.writeInt32BE(primaryPartition)
      bytes[4] = fingerprint === null ? 0 : 1
      if (fingerprint !== null) fingerprint.copy(bytes, 5)
      bytes.set(key, 5 + FINGERPRINT_BYTES)
      return bytes
    },
    deserialize(bytes) {
      return {
        primaryPartition: bytes.readInt32BE(),
        fingerprint: bytes[4] === 0 ? null : Buffer.from(bytes.subarray(5, 5 + FINGERPRINT_BYTES)),
        primaryKey: primaryKeySerde.deserialize(bytes.subarray(5 + FINGERPRINT_BYTES)),
      }
    },
  }
}

export const FINGERPRINT_BYTES = 16
