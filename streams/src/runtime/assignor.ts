import { compareTasks, subTopologyOf, type TaskId } from './task-id.ts'

export interface AssignableTask {
  readonly id: TaskId
  /** Whether it has state that a standby could hold. */
  readonly isStateful: boolean
}

/** One worker of one process, as the leader sees it. */
export interface AssignmentMember {
  readonly memberId: string
  readonly processId: string
  /** The generation in which it got its tasks; a claim from an older one loses against a newer. */
  readonly generationId: number
  readonly active: readonly TaskId[]
  readonly standby: readonly TaskId[]
  /** Tasks whose state its process has on disk, with the changelog offsets added up: more is closer to the end. */
  readonly state: ReadonlyMap<TaskId, number>
}

export interface MemberTasks {
  readonly active: readonly TaskId[]
  readonly standby: readonly TaskId[]
}

interface Slot {
  readonly member: AssignmentMember
  readonly active: Set<TaskId>
  readonly standby: Set<TaskId>
  readonly perSubTopology: Map<number, number>
}

/**
 * Who works on which task: evenly (no member has two tasks more than another), with as few moves as that allows, and a
 * task that must move goes where its state is. A task is handed over in two rounds: its owner is left without it in
 * the first, gives it up and asks for the second, and only then somebody else gets it. So no task ever has two owners
 * that both believe in it, and everything that stays goes on working.
 *
 * Pure: the same input gives the same answer, on whichever member the coordinator made the leader.
 */
export function assignTasks(
  tasks: readonly AssignableTask[],
  members: readonly AssignmentMember[],
  standbyReplicas: number,
): Map<string, MemberTasks> {
  const slots = members
    .toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1))
    .map((member) => ({ member, active: new Set<TaskId>(), standby: new Set<TaskId>(), perSubTopology: new Map() }))
  if (slots.length === 0) return new Map()
  const byId = new Map(tasks.map((task) => [task.id, task]))
  const owners = currentOwners(byId, slots)
  placeActive(byId, slots, owners)
  placeStandby(tasks, slots, standbyReplicas)

  const assignment = new Map<string, MemberTasks>()
  for (const { member, active, standby } of slots) {
    const now = [...active].filter((id) => {
      const owner = owners.get(id)
      return owner === undefined || owner.member === member
    })
    assignment.set(member.memberId, {
      active: now.toSorted(compareTasks),
      standby: [...standby].toSorted(compareTasks),
    })
  }
  return assignment
}

/** Whose claim counts for each task: the newest one. */
function currentOwners(tasks: ReadonlyMap<TaskId, AssignableTask>, slots: readonly Slot[]): Map<TaskId, Slot> {
  const owners = new Map<TaskId, Slot>()
  for (const slot of slots) {
    for (const id of slot.member.active) {
      if (!tasks.has(id)) continue
      const other = owners.get(id)
      if (other === undefined || other.member.generationId < slot.member.generationId) owners.set(id, slot)
    }
  }
  return owners
}

function placeActive(
  tasks: ReadonlyMap<TaskId, AssignableTask>,
  slots: readonly Slot[],
  owners: ReadonlyMap<TaskId, Slot>,
): void {
  const least = Math.floor(tasks.size / slots.length)
  // So many members have one more; those that own more tasks now are first to be allowed it.
  let withOneMore = tasks.size % slots.length
  const owned = new Map<Slot, TaskId[]>(slots.map((slot) => [slot, []]))
  for (const [id, slot] of owners) owned.get(slot)!.push(id)
  const byOwned = slots.toSorted((a, b) => owned.get(b)!.length - owned.get(a)!.length)
  const limits = new Map<Slot, number>()
  for (const slot of byOwned) limits.set(slot, withOneMore-- > 0 ? least + 1 : least)

  for (const slot of slots) {
    for (const id of owned.get(slot)!.toSorted(compareTasks)) {
      if (slot.active.size < limits.get(slot)!) put(slot, id)
    }
  }
  const placed = new Set(slots.flatMap(({ active }) => [...active]))
  const open = [...tasks.keys()].filter((id) => !placed.has(id)).toSorted(compareTasks)
  for (const id of open) {
    const free = slots.filter((slot) => slot.active.size < limits.get(slot)!)
    put(
      free.reduce((best, slot) => (compareFor(id, slot, best) < 0 ? slot : best)),
      id,
    )
  }
}

/** Negative when `a` is the better place for the task: its state is there, there is room, less of the same work. */
function compareFor(id: TaskId, a: Slot, b: Slot): number {
  const subTopology = subTopologyOf(id)
  return (
    stateRank(b, id) - stateRank(a, id) ||
    a.active.size - b.active.size ||
    (a.perSubTopology.get(subTopology) ?? 0) - (b.perSubTopology.get(subTopology) ?? 0)
  )
}

function stateRank({ member }: Slot, id: TaskId): number {
  return member.state.get(id) ?? (member.standby.includes(id) ? 0 : -1)
}

function put(slot: Slot, id: TaskId): void {
  const subTopology = subTopologyOf(id)
  slot.active.add(id)
  slot.perSubTopology.set(subTopology, (slot.perSubTopology.get(subTopology) ?? 0) + 1)
}

function placeStandby(tasks: readonly AssignableTask[], slots: readonly Slot[], replicas: number): void {
  if (replicas === 0) return
  for (const { id, isStateful } of tasks.toSorted((a, b) => compareTasks(a.id, b.id))) {
    if (!isStateful) continue
    const processes = new Set(slots.filter(({ active }) => active.has(id)).map(({ member }) => member.processId))
    for (let replica = 0; replica < replicas; replica++) {
      const candidates = slots.filter(({ member }) => !processes.has(member.processId))
      if (candidates.length === 0) break
      const best = candidates.reduce((found, slot) => {
        const better = stateRank(found, id) - stateRank(slot, id) || load(slot) - load(found)
        return better < 0 ? slot : found
      })
      best.standby.add(id)
      processes.add(best.member.processId)
    }
  }
}

function load({ active, standby }: Slot): number {
  return active.size + standby.size
}
