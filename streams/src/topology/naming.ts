/** Names of internal topics, as Kafka Streams forms them. */
export function changelogTopic(applicationId: string, storeName: string): string {
  return `${applicationId}-${storeName}-changelog`
}

export function internalTopic(applicationId: string, name: string): string {
  return `${applicationId}-${name}`
}
