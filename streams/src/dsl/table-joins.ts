import {
  answerSerde,
  answerSubscription,
  joinAnswer,
  requestSerde,
  sameBytes,
  sendSubscription,
  tellSubscribers,
} from '../operators/foreign-key-join.ts'
import { passThrough } from '../operators/pass-through.ts'
import { tableSource, type Materialization } from '../operators/table-source.ts'
import { joinedView, tableJoinSide, type TableJoinKind } from '../operators/table-table-join.ts'
import type { Serde } from '../serdes/serde.ts'
import type { GraphNode } from '../topology/graph.ts'
import { storeView, type TableViewSource } from '../topology/table-view.ts'
import { serdeOr, storeBasics, type Builder, type TableHandle } from './builder.ts'

export function joinTables<K, L, R, O>(
  builder: Builder,
  left: TableHandle<K, L>,
  right: TableHandle<K, R>,
  joiner: (left: L | null, right: R | null, key: K) => O,
  kind: TableJoinKind,
): { node: GraphNode; view: TableViewSource<K, O>; needs: { oldValues: boolean }; sources: string[] } {
  const { graph } = builder
  graph.copartitioned.push([...left.sources, ...right.sources])
  // Which side's rows have a result of their own decides who must tell a change from nothing at all.
  if (kind !== 'inner') left.requireOldValues()
  if (kind === 'outer') right.requireOldValues()
  const mergeName = graph.generateName('KTABLE-MERGE-')
  const leftName = graph.generateName('KTABLE-JOINTHIS-')
  const rightName = graph.generateName('KTABLE-JOINOTHER-')
  const leftView = left.view()
  const rightView = right.view()
  const needs = { oldValues: false }
  const leftSide = tableJoinSide<K, L, R, O>({
    joiner,
    other: rightView,
    isOuter: kind !== 'inner',
    isOtherOuter: kind === 'outer',
    isVersioned: left.isVersioned,
    needs,
  })
  const rightSide = tableJoinSide<K, R, L, O>({
    joiner: (own, other, key) => joiner(other, own, key),
    other: leftView,
    isOuter: kind === 'outer',
    isOtherOuter: kind !== 'inner',
    isVersioned: right.isVersioned,
    needs,
  })
  const sides = [
    graph.addProcessor(leftName, [left.node], leftSide, rightView.stores),
    graph.addProcessor(rightName, [right.node], rightSide, leftView.stores),
  ]
  return {
    node: graph.addProcessor(mergeName, sides, passThrough()),
    view: joinedView(leftView, rightView, kind, joiner),
    needs,
    sources: [...left.sources, ...right.sources],
  }
}

/**
 * A foreign-key join goes over two topics: the left table tells the owner of each foreign key which rows refer to it,
 * and the owner answers with its own row, at once and whenever that changes.
 */
export function joinTablesByForeignKey<K, L, FK, R, O>(
  builder: Builder,
  left: TableHandle<K, L>,
  right: TableHandle<FK, R>,
  joiner: (left: L, right: R | null, key: K) => O,
  isLeft: boolean,
  options: { readonly on: (value: L, key: K) => FK | null; readonly name?: string },
): TableHandle<K, O> {
  const { graph } = builder
  const { name } = options
  left.requireOldValues()
  right.requireOldValues()
  const suffixed = (suffix: string, prefix: string): string => {
    const generated = graph.generateName(prefix)
    return name === undefined ? generated : name + suffix
  }
  const keySerde = serdeOr(left.keySerde)
  const foreignKeySerde = serdeOr(right.keySerde)
  const leftValueSerde = serdeOr(left.valueSerde)
  const requests = requestSerde(keySerde) as Serde<unknown>
  const answers = answerSerde(serdeOr(right.valueSerde)) as Serde<unknown>

  const requestTopic = `${suffixed('-subscription-registration', 'KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-')}-topic`
  graph.addRepartitionTopic(requestTopic, null)
  const sender = graph.addProcessor(
    suffixed('-subscription-registration-processor', 'KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-'),
    [left.node],
    sendSubscription<K, L, FK>({
      foreignKey: options.on,
      leftValueSerde,
      sameForeignKey: sameBytes(foreignKeySerde),
      isLeft,
      isVersioned: left.isVersioned,
    }),
  )
  const requestSerdes = { keySerde: foreignKeySerde as Serde<unknown>, valueSerde: requests, onError: null }
  graph.addSink([sender], {
    name: suffixed('-subscription-registration-sink', 'KTABLE-SINK-'),
    topic: requestTopic,
    isInternal: true,
    partitioner: null,
    ...requestSerdes,
  })
  const requestSource = graph.addSource({
    name: suffixed('-subscription-registration-source', 'KTABLE-SOURCE-'),
    topic: requestTopic,
    isInternal: true,
    isGlobal: false,
    ...requestSerdes,
  })
  graph.copartitioned.push([...right.sources, requestSource.name])

  const store =
    name === undefined
      ? graph.storeName(undefined, 'KTABLE-FK-JOIN-SUBSCRIPTION-')
      : suffixed('-subscription-store', 'KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-')
  graph.addStore({
    kind: 'subscription',
    primaryKeySerde: keySerde as Serde<unknown>,
    ...storeBasics(store, {}, foreignKeySerde as Serde<unknown>, requests),
  })
  const rightView = right.view()
  // Kafka Streams remembers the request in one node and answers it in the next; here one node does both.
  const receiveName = suffixed('-subscription-receive', 'KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-')
  const receiver = graph.addProcessor(receiveName, [requestSource], passThrough(), [store])
  const answerer = graph.addProcessor(
    suffixed('-subscription-join-foreign', 'KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-'),
    [receiver],
    answerSubscription(store, rightView),
    rightView.stores,
  )
  const teller = graph.addProcessor(
    suffixed('-foreign-join-subscription', 'KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-'),
    [right.node],
    tellSubscribers(store, right.isVersioned),
    [store],
  )

  const answerTopic = `${suffixed('-subscription-response', 'KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-')}-topic`
  graph.addRepartitionTopic(answerTopic, null)
  const answerSerdes = { keySerde: keySerde as Serde<unknown>, valueSerde: answers, onError: null }
  graph.addSink([answerer, teller], {
    name: suffixed('-subscription-response-sink', 'KTABLE-SINK-'),
    topic: answerTopic,
    isInternal: true,
    partitioner: (_key, answer) => (answer as { primaryPartition: number }).primaryPartition,
    ...answerSerdes,
  })
  const answerSource = graph.addSource({
    name: suffixed('-subscription-response-source', 'KTABLE-SOURCE-'),
    topic: answerTopic,
    isInternal: true,
    isGlobal: false,
    ...answerSerdes,
  })
  graph.copartitioned.push([...left.sources, answerSource.name])
  const leftView = left.view()
  const resolver = graph.addProcessor(
    suffixed('-subscription-response-resolver', 'KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-'),
    [answerSource],
    joinAnswer<K, L, R, O>(leftView, leftValueSerde, isLeft, joiner),
    leftView.stores,
  )
  const resultName = suffixed('-result', 'KTABLE-FK-JOIN-OUTPUT-')
  const resultStore = name ?? graph.storeName(undefined, 'KTABLE-FK-JOIN-OUTPUT-')
  const materialization: Materialization = { storeName: null, isVersioned: false }
  const result = graph.addProcessor(resultName, [resolver], tableSource<K, O>(materialization))
  const materialize = (): void => {
    if (materialization.storeName !== null) return
    materialization.storeName = resultStore
    graph.addStore({
      kind: 'key-value',
      ...storeBasics(resultStore, {}, keySerde as Serde<unknown>, serdeOr<unknown>(null)),
    })
    result.stores.push(resultStore)
  }
  if (name !== undefined) materialize()
  return {
    node: result,
    keySerde,
    valueSerde: null,
    sources: [...left.sources, answerSource.name],
    isVersioned: false,
    closing: null,
    needs: { oldValues: false },
    requireOldValues: materialize,
    view() {
      materialize()
      return storeView(resultStore, false)
    },
  }
}
