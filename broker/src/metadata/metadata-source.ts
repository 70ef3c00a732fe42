import type { MetadataChange } from './cluster-changes.ts'
import type { ClusterImage } from './cluster-image.ts'

/** Called in the same turn in which the image changed, when the change is in the log. It must not throw. */
export type MetadataListener = (changes: readonly MetadataChange[]) => void

/** Where a broker learns what the cluster is: its own metadata log, or one day a quorum of controllers. */
export interface MetadataSource {
  readonly image: ClusterImage
  /** Calls back for every change from now on, until the returned function is called. */
  subscribe(listener: MetadataListener): () => void
}
