import { ErrorCode, errorName } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import {
  addPartitions,
  complete,
  end,
  fence,
  initialize,
  isExpired,
  verifyPartition,
  withoutPartition,
  type ClientVersion,
  type ProducerIdentity,
  type Transaction,
} from './transaction.ts'

const T0 = 1_700_000_000_000
const EPOCH_MAX = 32_767
const NEW_ID = 900
const around = { nowMs: T0, newProducerId: () => NEW_ID }

const empty: Transaction = {
  producerId: 7,
  previousProducerId: 7,
  nextProducerId: -1,
  producerEpoch: 3,
  lastProducerEpoch: -1,
  timeoutMs: 60_000,
  status: 'Empty',
  partitions: new Map(),
  startTimestampMs: -1,
  lastUpdateTimestampMs: T0 - 5,
  clientVersion: 0,
}
const me = { producerId: 7, producerEpoch: 3 }
const at = (epoch: number): ProducerIdentity => ({ producerId: 7, producerEpoch: epoch })

function of(result: Transaction | number | 'fence'): Transaction {
  if (typeof result === 'object') return result
  throw new Error(typeof result === 'number' ? errorName(result) : result)
}

function name(result: Transaction | number | 'fence'): string {
  if (typeof result === 'number') return errorName(result)
  return typeof result === 'string' ? result : result.status
}

function ongoing(from: Transaction = empty, clientVersion: ClientVersion = 2): Transaction {
  const { producerId, producerEpoch } = from
  const partitions = new Map([['t', new Set([0, 1])]])
  return of(addPartitions(from, { producerId, producerEpoch, partitions, clientVersion }, T0))
}

function ending(isCommit: boolean, clientVersion: ClientVersion = 2, from = ongoing()): Transaction {
  const { producerId, producerEpoch } = from
  return of(end(from, { producerId, producerEpoch, isCommit, clientVersion }, around))
}

function ended(isCommit: boolean, clientVersion: ClientVersion = 2, from = ongoing()): Transaction {
  return complete(ending(isCommit, clientVersion, from), T0)
}

describe('a producer that begins', () => {
  it('gets an id and epoch 0 the first time', () => {
    const begun = of(initialize(null, { timeoutMs: 1000, expected: null }, around))
    expect(begun).toMatchObject({ producerId: NEW_ID, producerEpoch: 0, status: 'Empty', timeoutMs: 1000 })
    expect([...begun.partitions]).toEqual([])
  })

  it('gets an epoch above the one before, which shuts out who had that', () => {
    const begun = of(initialize(empty, { timeoutMs: 1000, expected: null }, around))
    expect(begun).toMatchObject({ producerId: 7, producerEpoch: 4, lastProducerEpoch: -1, timeoutMs: 1000 })
    expect(name(addPartitions(begun, { ...me, partitions: new Map(), clientVersion: 0 }, T0))).toBe('PRODUCER_FENCED')
    expect(name(end(begun, { ...me, isCommit: true, clientVersion: 2 }, around))).toBe('PRODUCER_FENCED')
  })

  it('has an open transaction aborted first, and waits for one that ends', () => {
    expect(name(initialize(ongoing(), { timeoutMs: 1000, expected: null }, around))).toBe('fence')
    for (const isCommit of [true, false]) {
      const asked = initialize(ending(isCommit), { timeoutMs: 1000, expected: null }, around)
      expect(name(asked)).toBe('CONCURRENT_TRANSACTIONS')
      expect(name(initialize(ended(isCommit), { timeoutMs: 1000, expected: null }, around))).toBe('Empty')
    }
  })

  it('goes on with a new id when the epochs of the old one are used up', () => {
    const last = { ...empty, producerEpoch: EPOCH_MAX - 1 }
    const begun = of(initialize(last, { timeoutMs: 1000, expected: null }, around))
    expect(begun).toMatchObject({ producerId: NEW_ID, producerEpoch: 0, previousProducerId: 7, lastProducerEpoch: -1 })
  })

  it('that says who it was gets the next epoch, and the same one when it asks again', () => {
    const bumped = of(initialize(empty, { timeoutMs: 1000, expected: me }, around))
    expect(bumped).toMatchObject({ producerId: 7, producerEpoch: 4, lastProducerEpoch: 3 })
    expect(of(initialize(bumped, { timeoutMs: 1000, expected: me }, around))).toMatchObject({ producerEpoch: 4 })
  })

  it('that says who it was is refused when somebody else has begun since', () => {
    const other = of(initialize(empty, { timeoutMs: 1000, expected: null }, around))
    for (const expected of [me, at(2), at(5), { producerId: 8, producerEpoch: 4 }]) {
      expect(name(initialize(other, { timeoutMs: 1000, expected }, around))).toBe('PRODUCER_FENCED')
    }
  })

  it('that says who it was may come again after its id was replaced', () => {
    const expected = at(EPOCH_MAX - 1)
    const rotated = of(initialize({ ...empty, producerEpoch: EPOCH_MAX - 1 }, { timeoutMs: 1, expected }, around))
    expect(rotated).toMatchObject({ producerId: NEW_ID, producerEpoch: 0, lastProducerEpoch: EPOCH_MAX - 1 })
    expect(of(initialize(rotated, { timeoutMs: 1, expected }, around))).toMatchObject({
      producerId: NEW_ID,
      producerEpoch: 0,
    })
  })
})

describe('partitions that join', () => {
  it('begin the transaction, and its time', () => {
    expect(ongoing()).toMatchObject({ status: 'Ongoing', startTimestampMs: T0, lastUpdateTimestampMs: T0 })
  })

  it('add to those that are there; nothing changes for one that is', () => {
    const request = { ...me, clientVersion: 2 as const }
    const more = addPartitions(
      ongoing(),
      {
        ...request,
        partitions: new Map([
          ['t', new Set([1, 2])],
          ['u', new Set([0])],
        ]),
      },
      T0 + 9,
    )
    expect([...of(more).partitions]).toEqual([
      ['t', new Set([0, 1, 2])],
      ['u', new Set([0])],
    ])
    expect(of(more).startTimestampMs).toBe(T0)
    const same = addPartitions(ongoing(), { ...request, partitions: new Map([['t', new Set([1])]]) }, T0)
    expect(name(same)).toBe('NONE')
  })

  it('begin a new transaction without those of the last one', () => {
    for (const isCommit of [true, false]) {
      const next = ongoing(ended(isCommit, 2, ongoing()))
      expect(next).toMatchObject({ status: 'Ongoing', producerEpoch: 4 })
    }
  })

  it('are refused while the transaction before ends, to another id and to another epoch', () => {
    const add = (current: Transaction, identity: ProducerIdentity): string =>
      name(addPartitions(current, { ...identity, partitions: new Map([['x', new Set([0])]]), clientVersion: 2 }, T0))
    expect(add(ending(true, 0), me)).toBe('CONCURRENT_TRANSACTIONS')
    expect(add(ending(false, 2), at(4))).toBe('CONCURRENT_TRANSACTIONS')
    expect(add(empty, { producerId: 8, producerEpoch: 3 })).toBe('INVALID_PRODUCER_ID_MAPPING')
    expect(add(empty, at(2))).toBe('PRODUCER_FENCED')
    expect(add(empty, at(4))).toBe('PRODUCER_FENCED')
  })

  it('are verified: only those of the open transaction may be written to', () => {
    const verify = (current: Transaction, identity: ProducerIdentity, topic: string, partition: number): string =>
      errorName(verifyPartition(current, identity, topic, partition))
    expect(verify(ongoing(), me, 't', 1)).toBe('NONE')
    expect(verify(ongoing(), me, 't', 2)).toBe('TRANSACTION_ABORTABLE')
    expect(verify(ongoing(), me, 'u', 0)).toBe('TRANSACTION_ABORTABLE')
    expect(verify(ended(true), at(4), 't', 1)).toBe('TRANSACTION_ABORTABLE')
    expect(verify(ongoing(), at(2), 't', 1)).toBe('PRODUCER_FENCED')
    expect(verify(ending(true, 0), me, 't', 1)).toBe('CONCURRENT_TRANSACTIONS')
  })
})

describe('the end of a transaction', () => {
  // What an EndTxn comes to: rows are what the transaction is, columns who asks for what.
  const outcomes = (clientVersion: ClientVersion, current: Transaction, epochs: readonly number[]): string[] =>
    epochs.flatMap((epoch) =>
      [true, false].map((isCommit) => name(end(current, { ...at(epoch), isCommit, clientVersion }, around))),
    )

  it('of a client that keeps its epoch', () => {
    const endsAs = (current: Transaction): string[] => outcomes(0, current, [3])
    expect(endsAs(ongoing(empty, 0))).toEqual(['PrepareCommit', 'PrepareAbort'])
    expect(endsAs(empty)).toEqual(['INVALID_TXN_STATE', 'INVALID_TXN_STATE'])
    expect(endsAs(ending(true, 0))).toEqual(['CONCURRENT_TRANSACTIONS', 'INVALID_TXN_STATE'])
    expect(endsAs(ending(false, 0))).toEqual(['INVALID_TXN_STATE', 'CONCURRENT_TRANSACTIONS'])
    expect(endsAs(ended(true, 0))).toEqual(['NONE', 'INVALID_TXN_STATE'])
    expect(endsAs(ended(false, 0))).toEqual(['INVALID_TXN_STATE', 'NONE'])
    expect(outcomes(0, ongoing(empty, 0), [2, 4])).toEqual(Array(4).fill('PRODUCER_FENCED'))
  })

  it('of a client that gets a new epoch with each transaction (KIP-890)', () => {
    // The epoch that the transaction had, and the one after it.
    const endsAs = (current: Transaction): string[] => outcomes(2, current, [3, 4])
    const fenced = 'PRODUCER_FENCED'
    expect(endsAs(ongoing())).toEqual(['PrepareCommit', 'PrepareAbort', fenced, fenced])
    expect(endsAs(empty)).toEqual(['INVALID_TXN_STATE', 'PrepareAbort', fenced, fenced])
    expect(endsAs(ending(true))).toEqual(['CONCURRENT_TRANSACTIONS', 'INVALID_TXN_STATE', fenced, fenced])
    expect(endsAs(ending(false))).toEqual(['INVALID_TXN_STATE', 'CONCURRENT_TRANSACTIONS', fenced, fenced])
    expect(endsAs(ended(true))).toEqual(['NONE', 'INVALID_TXN_STATE', 'INVALID_TXN_STATE', 'PrepareAbort'])
    expect(endsAs(ended(false))).toEqual(['INVALID_TXN_STATE', 'NONE', 'INVALID_TXN_STATE', 'PrepareAbort'])
    expect(outcomes(2, ended(true), [2, 5])).toEqual(Array(4).fill(fenced))
  })

  it('is for the producer of the transaction alone', () => {
    for (const clientVersion of [0, 2] as const) {
      const request = { producerId: 8, producerEpoch: 3, isCommit: true, clientVersion }
      expect(name(end(ongoing(), request, around))).toBe('INVALID_PRODUCER_ID_MAPPING')
    }
  })

  it('keeps the epoch of an old client and raises that of a new one', () => {
    expect(ended(true, 0)).toMatchObject({ producerEpoch: 3, status: 'CompleteCommit', clientVersion: 0 })
    expect(ending(true)).toMatchObject({ producerEpoch: 4, lastProducerEpoch: 3, clientVersion: 2 })
    expect(ended(false)).toMatchObject({ producerEpoch: 4, status: 'CompleteAbort' })
  })

  it('comes when the last partition has its marker', () => {
    const prepared = ending(true)
    const one = withoutPartition(prepared, 't', 0)
    expect([...one.partitions]).toEqual([['t', new Set([1])]])
    expect([...withoutPartition(one, 't', 1).partitions]).toEqual([])
    expect(complete(prepared, T0 + 1)).toMatchObject({ status: 'CompleteCommit', lastUpdateTimestampMs: T0 + 1 })
  })

  it('brings a new producer id when the epochs are used up, and a repetition finds it', () => {
    const last = ongoing({ ...empty, producerEpoch: EPOCH_MAX - 1 })
    const prepared = ending(true, 2, last)
    expect(prepared).toMatchObject({ producerId: 7, producerEpoch: EPOCH_MAX, nextProducerId: NEW_ID })
    const completed = complete(prepared, T0)
    expect(completed).toMatchObject({ producerId: NEW_ID, producerEpoch: 0, nextProducerId: -1, previousProducerId: 7 })
    const again = (isCommit: boolean): string =>
      name(end(completed, { ...at(EPOCH_MAX - 1), isCommit, clientVersion: 2 }, around))
    expect([again(true), again(false)]).toEqual(['NONE', 'INVALID_TXN_STATE'])
  })
})

describe('a transaction that its coordinator aborts', () => {
  it('has an epoch more, also if its client keeps it', () => {
    const aborted = complete(fence(ongoing(), 2, T0), T0)
    expect(aborted).toMatchObject({ status: 'CompleteAbort', producerEpoch: 4, lastProducerEpoch: 3, clientVersion: 2 })
    expect(name(end(aborted, { ...me, isCommit: true, clientVersion: 2 }, around))).toBe('INVALID_TXN_STATE')
    const old = complete(fence(ongoing(empty, 0), 2, T0), T0)
    expect(old).toMatchObject({ status: 'CompleteAbort', producerEpoch: 4 })
    const older = complete(fence(ongoing(empty, 0), 1, T0), T0)
    expect(older).toMatchObject({ status: 'CompleteAbort', producerEpoch: 4, lastProducerEpoch: -1, clientVersion: 0 })
    for (const transaction of [old, older]) {
      expect(name(end(transaction, { ...me, isCommit: false, clientVersion: 0 }, around))).toBe('PRODUCER_FENCED')
    }
  })

  it('is out of the reach of its producer once the successor has begun', () => {
    const aborted = complete(fence(ongoing(), 2, T0), T0)
    const successor = of(initialize(aborted, { timeoutMs: 1, expected: null }, around))
    expect(successor.producerEpoch).toBe(5)
    for (const isCommit of [true, false]) {
      expect(name(end(successor, { ...me, isCommit, clientVersion: 2 }, around))).toBe('PRODUCER_FENCED')
    }
  })

  it('leaves the last epoch for that, and then the id is used up', () => {
    const last = ongoing({ ...empty, producerEpoch: EPOCH_MAX - 1 })
    const aborted = complete(fence(last, 2, T0), T0)
    expect(aborted).toMatchObject({ producerId: 7, producerEpoch: EPOCH_MAX })
    const begun = of(initialize(aborted, { timeoutMs: 1, expected: null }, around))
    expect(begun).toMatchObject({ producerId: NEW_ID, producerEpoch: 0 })
    // Its producer does not get that epoch either, and may ask twice.
    const expected = at(EPOCH_MAX - 1)
    const gone = of(initialize(aborted, { timeoutMs: 1, expected }, around))
    expect(gone).toMatchObject({ producerId: NEW_ID, producerEpoch: 0 })
    expect(of(initialize(gone, { timeoutMs: 1, expected }, around))).toMatchObject({
      producerId: NEW_ID,
      producerEpoch: 0,
    })
  })
})

describe('anomalies of protocols without an epoch for each transaction, which Jepsen found', () => {
  it('a commit that comes late does not commit the next transaction', () => {
    const second = ongoing(ended(true))
    expect(second.status).toBe('Ongoing')
    expect(name(end(second, { ...me, isCommit: true, clientVersion: 2 }, around))).toBe('PRODUCER_FENCED')
  })

  it('an abort that comes late does not abort the next transaction', () => {
    const second = ongoing(ended(false))
    expect(name(end(second, { ...me, isCommit: false, clientVersion: 2 }, around))).toBe('PRODUCER_FENCED')
  })

  it('a write that comes late does not join the next transaction, nor begin one', () => {
    const late = { ...me, partitions: new Map([['t', new Set([5])]]), clientVersion: 2 as const }
    expect(name(addPartitions(ongoing(ended(true)), late, T0))).toBe('PRODUCER_FENCED')
    expect(name(addPartitions(ended(true), late, T0))).toBe('PRODUCER_FENCED')
    expect(errorName(verifyPartition(ongoing(ended(true)), me, 't', 0))).toBe('PRODUCER_FENCED')
  })
})

describe('a transactional id', () => {
  it('is forgotten when it was not used for long, but not with a transaction', () => {
    const later = T0 + 1000
    expect(isExpired({ ...empty, lastUpdateTimestampMs: T0 }, later, 1000)).toBe(true)
    expect(isExpired({ ...empty, lastUpdateTimestampMs: T0 + 1 }, later, 1000)).toBe(false)
    expect(isExpired(ended(true), later, 1000)).toBe(true)
    expect(isExpired(ongoing(), later, 1000)).toBe(false)
    expect(isExpired(ending(true), later, 1000)).toBe(false)
    expect(ErrorCode.none).toBe(0)
  })
})
