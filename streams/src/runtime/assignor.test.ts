import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assignTasks, type AssignableTask, type AssignmentMember, type MemberTasks } from './assignor.ts'
import { taskId, type TaskId } from './task-id.ts'

function tasksOf(subTopologies: number, partitions: number): AssignableTask[] {
  return Array.from({ length: subTopologies * partitions }, (_, i) => ({
    id: taskId(Math.floor(i / partitions), i % partitions),
    isStateful: Math.floor(i / partitions) % 2 === 1,
  }))
}

function aMember(memberId: string, has: Partial<AssignmentMember> = {}): AssignmentMember {
  return { memberId, processId: memberId, generationId: 1, active: [], standby: [], state: new Map(), ...has }
}

/** The members as they are after they have followed an assignment: what they lost is given up before the next round. */
function after(members: readonly AssignmentMember[], assignment: ReadonlyMap<string, MemberTasks>): AssignmentMember[] {
  return members.map((member) => ({
    ...member,
    ...assignment.get(member.memberId)!,
    generationId: member.generationId + 1,
  }))
}

/** Rounds until nobody has to give anything up any more. */
function settle(
  tasks: readonly AssignableTask[],
  members: readonly AssignmentMember[],
  standbyReplicas = 0,
): { members: AssignmentMember[]; rounds: number; moved: number } {
  let now = [...members]
  let moved = 0
  for (let rounds = 1; rounds < 10; rounds++) {
    const assignment = assignTasks(tasks, now, standbyReplicas)
    const lost = now.reduce((sum, member) => {
      const kept = new Set(assignment.get(member.memberId)!.active)
      return sum + member.active.filter((id) => !kept.has(id)).length
    }, 0)
    moved += lost
    now = after(now, assignment)
    if (lost === 0) return { members: now, rounds, moved }
  }
  throw new Error('the assignment does not settle')
}

const shape = fc.record({ subTopologies: fc.integer({ min: 1, max: 4 }), partitions: fc.integer({ min: 1, max: 9 }) })
const memberIds = fc.uniqueArray(fc.integer({ min: 0, max: 20 }).map(String), { minLength: 1, maxLength: 7 })

describe('assigning tasks', () => {
  it('gives every task to exactly one member, and nobody two more than another', () => {
    fc.assert(
      fc.property(shape, memberIds, ({ subTopologies, partitions }, ids) => {
        const tasks = tasksOf(subTopologies, partitions)
        const { members, rounds } = settle(
          tasks,
          ids.map((id) => aMember(id)),
        )
        expect(rounds).toBe(1)
        expect(members.flatMap(({ active }) => active).toSorted()).toEqual(tasks.map(({ id }) => id).toSorted())
        const sizes = members.map(({ active }) => active.length)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('settles within two rounds of any change of members, moving only what balance asks for', () => {
    fc.assert(
      fc.property(shape, memberIds, memberIds, ({ subTopologies, partitions }, before, afterwards) => {
        const tasks = tasksOf(subTopologies, partitions)
        const first = settle(
          tasks,
          before.map((id) => aMember(id)),
        ).members
        const stayed = new Map(first.map((member) => [member.memberId, member]))
        const next = afterwards.map((id) => stayed.get(id) ?? aMember(id))
        const { members, rounds, moved } = settle(tasks, next)
        expect(rounds).toBeLessThanOrEqual(2)
        expect(members.flatMap(({ active }) => active).toSorted()).toEqual(tasks.map(({ id }) => id).toSorted())
        const newcomers = next.filter(({ memberId }) => !stayed.has(memberId)).length
        const share = Math.ceil(tasks.length / next.length)
        expect(moved).toBeLessThanOrEqual(newcomers * share)
      }),
    )
  })

  it('never gives a task to one member while another still works on it', () => {
    fc.assert(
      fc.property(shape, memberIds, ({ subTopologies, partitions }, ids) => {
        const tasks = tasksOf(subTopologies, partitions)
        const all = tasks.map(({ id }) => id)
        const members = [aMember('owner', { active: all }), ...ids.map((id) => aMember(id))]
        const assignment = assignTasks(tasks, members, 0)
        for (const id of ids) expect(assignment.get(id)!.active).toEqual([])
        const kept = assignment.get('owner')!.active
        expect(kept.length).toBeLessThanOrEqual(Math.ceil(all.length / members.length))
      }),
    )
  })

  it('believes the newest of two claims to a task', () => {
    const tasks = tasksOf(1, 2)
    const members = [
      aMember('a', { active: ['0_0', '0_1'], generationId: 3 }),
      aMember('b', { active: ['0_0'], generationId: 7 }),
    ]
    const assignment = assignTasks(tasks, members, 0)
    expect(assignment.get('b')!.active).toEqual(['0_0'])
    expect(assignment.get('a')!.active).toEqual(['0_1'])
  })

  it('sends a task that must move to where its state is furthest', () => {
    const tasks = tasksOf(2, 2)
    const members = [
      aMember('a', { state: new Map<TaskId, number>([['1_0', 10]]) }),
      aMember('b', { state: new Map<TaskId, number>([['1_0', 90]]) }),
      aMember('c'),
    ]
    expect(assignTasks(tasks, members, 0).get('b')!.active).toContain('1_0')
  })

  it('keeps standbys in other processes than the active task, and only of tasks with state', () => {
    fc.assert(
      fc.property(shape, memberIds, fc.integer({ min: 0, max: 3 }), ({ subTopologies, partitions }, ids, replicas) => {
        const tasks = tasksOf(subTopologies, partitions)
        // Two workers in each process.
        const members = ids.flatMap((id) => [`${id}-0`, `${id}-1`].map((name) => aMember(name, { processId: id })))
        const settled = settle(tasks, members, replicas).members
        for (const { id, isStateful } of tasks) {
          const active = settled.filter((member) => member.active.includes(id))
          const standby = settled.filter((member) => member.standby.includes(id))
          expect(active).toHaveLength(1)
          expect(standby).toHaveLength(isStateful ? Math.min(replicas, ids.length - 1) : 0)
          const processes = [...active, ...standby].map(({ processId }) => processId)
          expect(new Set(processes).size).toBe(processes.length)
        }
      }),
    )
  })

  it('spreads the tasks of one sub-topology over the members', () => {
    const { members } = settle(tasksOf(2, 4), [aMember('a'), aMember('b')])
    for (const { active } of members) {
      expect(active.filter((id) => id.startsWith('0_'))).toHaveLength(2)
      expect(active.filter((id) => id.startsWith('1_'))).toHaveLength(2)
    }
  })
})
