import { JoinWindowStore } from './join-window-store.ts'
import { KeyValueStore, type StoreOptions } from './key-value-store.ts'
import { TimedStore } from './timed-store.ts'
import type { StateStore, StoreDefinition } from './store.ts'
import { sessionLayout, timeOrderedLayout, windowLayout } from './timed-layouts.ts'
import { SubscriptionStore } from './subscription-store.ts'
import { VersionedStore } from './versioned-store.ts'

/** The store that a definition describes: in memory without a backing, on disk with one. */
export function openStore(definition: StoreDefinition, options: StoreOptions): StateStore {
  switch (definition.kind) {
    case 'key-value':
      return new KeyValueStore(definition, options)
    case 'versioned':
      return new VersionedStore(definition, options)
    case 'subscription':
      return new SubscriptionStore(definition, options)
    case 'window':
      return new TimedStore(definition, windowLayout(definition.windowSizeMs), options)
    case 'join-window':
      return new JoinWindowStore(definition, options)
    case 'session':
      return new TimedStore(definition, sessionLayout, options)
    case 'time-ordered':
      return new TimedStore(definition, definition.layout ?? timeOrderedLayout, options)
  }
}
