import { storeView, type TableViewSource } from '../topology/table-view.ts'
import { GLOBAL_TABLE } from './table-brand.ts'

/** A table that every process has whole, whatever its partitions; streams look rows up by any key. */
export class GlobalTable<K, V> {
  readonly [GLOBAL_TABLE] = true
  readonly #storeName: string
  /** Only for inference: a value of this type never exists. */
  declare readonly types?: { readonly key: K; readonly value: V }

  constructor(storeName: string) {
    this.#storeName = storeName
  }

  view(): TableViewSource<K, V> {
    return storeView(this.#storeName, false, true)
  }

  get storeName(): string {
    return this.#storeName
  }
}
