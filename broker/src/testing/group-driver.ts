import assert from 'node:assert/strict'
import { ErrorCode } from '@millrace/protocol'
import { ClassicGroup } from '../groups/classic-group.ts'
import type {
  GroupSettings,
  GroupTimer,
  GroupWrite,
  JoinAnswer,
  JoinRequest,
  LeavingMember,
  SyncAnswer,
} from '../groups/group-events.ts'
import { ManualClock } from './manual-clock.ts'

export type JoinInput = Partial<Omit<JoinRequest, 'requestId'>>

/**
 * Carries out what a ClassicGroup asks for, as its coordinator does: keeps its timers on a manual clock, stores at once
 * unless told to hold writes back, and collects the answers.
 */
export class GroupDriver {
  readonly clock = new ManualClock(1_000_000)
  readonly joinAnswers = new Map<number, JoinAnswer>()
  readonly syncAnswers = new Map<number, SyncAnswer>()
  readonly writes: GroupWrite[] = []
  readonly heldWrites: GroupWrite[] = []
  holdsWrites = false
  writeError: number = ErrorCode.none
  group: ClassicGroup
  readonly #timers = new Map<GroupTimer, { cancel(): void }>()
  #nextId = 1

  constructor(settings: Partial<GroupSettings> = {}) {
    this.group = new ClassicGroup('g', { initialRebalanceDelayMs: 0, maxSize: 1000, ...settings }, this.clock.nowMs())
  }

  get timers(): GroupTimer[] {
    return [...this.#timers.keys()]
  }

  /** Sends JoinGroup and returns its request id; what is left out is a new consumer with one protocol. */
  join(input: JoinInput = {}): number {
    const requestId = this.#nextId++
    const request: JoinRequest = {
      memberId: '',
      newMemberId: `member-${requestId}`,
      groupInstanceId: null,
      clientId: 'client',
      clientHost: '/127.0.0.1',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.from('m') }],
      reason: null,
      mustKnowMemberId: false,
      canSkipAssignment: true,
      ...input,
      requestId,
    }
    this.group.join(request, this.clock.nowMs())
    this.#carryOut()
    return requestId
  }

  /** Joins and, when no delay and nobody else is waited for, has the answer at once. */
  joined(input: JoinInput = {}): JoinAnswer {
    const requestId = this.join(input)
    this.clock.advance(0)
    return this.joinAnswer(requestId)
  }

  joinAnswer(requestId: number): JoinAnswer {
    const answer = this.joinAnswers.get(requestId)
    assert(answer !== undefined, `join ${requestId} is not answered yet`)
    return answer
  }

  sync(input: {
    readonly memberId: string
    readonly generationId?: number
    readonly groupInstanceId?: string
    readonly protocolType?: string
    readonly protocolName?: string
    readonly assignments?: Record<string, string>
  }): number {
    const requestId = this.#nextId++
    const assignments = Object.entries(input.assignments ?? {})
    this.group.sync(
      {
        requestId,
        memberId: input.memberId,
        groupInstanceId: input.groupInstanceId ?? null,
        generationId: input.generationId ?? this.group.generationId,
        protocolType: input.protocolType ?? null,
        protocolName: input.protocolName ?? null,
        assignments: new Map(assignments.map(([memberId, text]) => [memberId, Buffer.from(text)])),
      },
      this.clock.nowMs(),
    )
    this.#carryOut()
    return requestId
  }

  syncAnswer(requestId: number): SyncAnswer {
    const answer = this.syncAnswers.get(requestId)
    assert(answer !== undefined, `sync ${requestId} is not answered yet`)
    return answer
  }

  heartbeat(memberId: string, generationId = this.group.generationId, groupInstanceId: string | null = null): number {
    const errorCode = this.group.heartbeat(memberId, groupInstanceId, generationId)
    this.#carryOut()
    return errorCode
  }

  commit(memberId: string, generationId: number, groupInstanceId: string | null = null): number {
    const errorCode = this.group.validateOffsetCommit(memberId, groupInstanceId, generationId)
    this.#carryOut()
    return errorCode
  }

  leave(...leaving: readonly (string | LeavingMember)[]): number[] {
    const members = leaving.map((one) => (typeof one === 'string' ? { memberId: one, groupInstanceId: null } : one))
    const errorCodes = this.group.leave(members, this.clock.nowMs())
    this.#carryOut()
    return errorCodes
  }

  close(): void {
    this.group.close(ErrorCode.coordinatorNotAvailable)
    this.#carryOut()
  }

  /** Answers the oldest write that was held back. */
  finishWrite(errorCode: number = ErrorCode.none): void {
    const write = this.heldWrites.shift()
    assert(write !== undefined, 'a write is held back')
    this.group.stored(write, errorCode, this.clock.nowMs())
    this.#carryOut()
  }

  /** A stable group of so many members, the first of which leads; member n is assigned `a<n>`. */
  stable(count: number, input: JoinInput = {}): string[] {
    const requests = Array.from({ length: count }, (_, index) =>
      this.join({
        newMemberId: `m${index}`,
        ...(input.groupInstanceId ? { ...input, groupInstanceId: `i${index}` } : input),
      }),
    )
    this.clock.advance(0)
    const memberIds = requests.map((requestId) => this.joinAnswer(requestId).memberId)
    const assignments = Object.fromEntries(memberIds.map((memberId, index) => [memberId, `a${index}`]))
    for (const memberId of memberIds) this.sync({ memberId, assignments: memberId === 'm0' ? assignments : {} })
    assert(this.group.state === 'Stable')
    return memberIds
  }

  /** The group as a coordinator has it after a restart: from the last write that was stored. */
  restart(settings: Partial<GroupSettings> = {}): void {
    const write = this.writes.at(-1)
    assert(write !== undefined, 'something was stored')
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    const all = { initialRebalanceDelayMs: 0, maxSize: 1000, ...settings }
    this.group = ClassicGroup.restore('g', all, write.snapshot)
    this.group.resume(this.clock.nowMs())
    this.#carryOut()
  }

  #carryOut(): void {
    for (let effects = this.group.takeEffects(); effects.length > 0; effects = this.group.takeEffects()) {
      for (const effect of effects) {
        switch (effect.kind) {
          case 'answer-join':
            assert(!this.joinAnswers.has(effect.requestId), 'a join is answered once')
            this.joinAnswers.set(effect.requestId, effect.answer)
            break
          case 'answer-sync':
            assert(!this.syncAnswers.has(effect.requestId), 'a sync is answered once')
            this.syncAnswers.set(effect.requestId, effect.answer)
            break
          case 'set-timer': {
            const { timer, delayMs } = effect
            this.#timers.get(timer)?.cancel()
            this.#timers.set(
              timer,
              this.clock.setTimer(delayMs, () => {
                this.#timers.delete(timer)
                this.group.timerFired(timer, this.clock.nowMs())
                this.#carryOut()
              }),
            )
            break
          }
          case 'cancel-timer':
            this.#timers.get(effect.timer)?.cancel()
            this.#timers.delete(effect.timer)
            break
          case 'store':
            if (this.holdsWrites) {
              this.heldWrites.push(effect.write)
            } else {
              if (this.writeError === ErrorCode.none) this.writes.push(effect.write)
              this.group.stored(effect.write, this.writeError, this.clock.nowMs())
            }
            break
          case 'log':
            break
        }
      }
    }
  }
}
