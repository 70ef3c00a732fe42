/** `<sub-topology>_<partition>`, as Kafka Streams writes it; also the name of the task's directory. */
export type TaskId = `${number}_${number}`

export function taskId(subTopologyId: number, partition: number): TaskId {
  return `${subTopologyId}_${partition}`
}

export function subTopologyOf(id: TaskId): number {
  return Number(id.slice(0, id.indexOf('_')))
}

export function partitionOf(id: TaskId): number {
  return Number(id.slice(id.indexOf('_') + 1))
}

/** By partition, then by sub-topology: neighbours in this order are different work. */
export function compareTasks(a: TaskId, b: TaskId): number {
  return partitionOf(a) - partitionOf(b) || subTopologyOf(a) - subTopologyOf(b)
}
