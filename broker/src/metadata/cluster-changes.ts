import type { PartitionImage, TopicImage } from './cluster-image.ts'

/** What a batch of metadata records changed. A topic that is created or deleted comes whole, without its partitions' own. */
export type MetadataChange =
  | { readonly kind: 'topic-created'; readonly topic: TopicImage }
  | { readonly kind: 'topic-deleted'; readonly topic: TopicImage }
  /** The partitions from index `from` on are new. */
  | { readonly kind: 'partitions-added'; readonly topic: TopicImage; readonly from: number }
  | { readonly kind: 'partition-changed'; readonly topic: TopicImage; readonly partition: PartitionImage }
  | { readonly kind: 'topic-config-changed'; readonly name: string }
  | { readonly kind: 'group-config-changed'; readonly name: string }
  /** The settings of this broker or of all brokers; topics that leave a setting to the broker may change with them. */
  | { readonly kind: 'broker-config-changed' }
  | { readonly kind: 'brokers-changed' }
  | { readonly kind: 'features-changed' }
