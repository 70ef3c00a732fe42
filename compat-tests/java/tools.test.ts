import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { kafkaTool, type RunResult, startJavaTool, uniqueName, until } from '../harness/index.ts'
import { describeJava } from './suite.ts'

const tools = {
  ...kafkaTool,
  clientCompatibility: 'org.apache.kafka.tools.ClientCompatibilityTest',
  consumerPerformance: 'org.apache.kafka.tools.ConsumerPerformance',
  endToEndLatency: 'org.apache.kafka.tools.EndToEndLatency',
  reassignPartitions: 'org.apache.kafka.tools.reassign.ReassignPartitionsCommand',
  verifiableConsumer: 'org.apache.kafka.tools.VerifiableConsumer',
  verifiableProducer: 'org.apache.kafka.tools.VerifiableProducer',
} as const

describeJava('the command-line tools', (broker, shell) => {
  /** Runs a tool against the broker. Its arguments are separated by single spaces, as none has one inside. */
  const tool = (name: keyof typeof tools, args: string, input = ''): Promise<RunResult> =>
    shell.run(tools[name], ['--bootstrap-server', broker.bootstrap, ...args.split(' ')], input)

  /** As `tool`, for what must succeed: returns what it printed. */
  const succeed = async (name: keyof typeof tools, args: string, input = ''): Promise<string> => {
    const result = await tool(name, args, input)
    if (result.exitCode === 0) return result.stdout
    throw new Error(`${name} ${args} ended with ${result.exitCode}:\n${result.stdout}${result.stderr}`)
  }

  const createTopic = async (base: string, options = ''): Promise<string> => {
    const topic = uniqueName(base)
    await succeed('topics', `--create --topic ${topic} ${options}`.trim())
    return topic
  }

  const produce = (topic: string, input: string): Promise<string> =>
    succeed(
      'consoleProducer',
      `--topic ${topic} --reader-property parse.key=true --reader-property key.separator=:`,
      input,
    )

  const consume = (topic: string, options: string): Promise<string> =>
    succeed('consoleConsumer', `--topic ${topic} --timeout-ms 20000 ${options}`)

  describe('kafka-topics', () => {
    it('creates a topic, lists and describes it', async () => {
      const topic = uniqueName('orders')
      const created = await succeed('topics', `--create --topic ${topic} --partitions 3 --config retention.ms=60000`)
      expect(created).toBe(`Created topic ${topic}.\n`)
      expect((await succeed('topics', '--list')).split('\n')).toContain(topic)

      const [head, ...partitions] = (await succeed('topics', `--describe --topic ${topic}`)).trimEnd().split('\n')
      expect(head).toMatch(
        /^Topic: \S+\tTopicId: [\w-]{22}\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: .*retention\.ms=60000/,
      )
      expect(partitions.map((line) => line.replace(/\tElr: .*/, ''))).toEqual(
        [0, 1, 2].map((partition) => `\tTopic: ${topic}\tPartition: ${partition}\tLeader: 1\tReplicas: 1\tIsr: 1`),
      )
      expect(await succeed('topics', '--describe --unavailable-partitions')).toBe('')
      expect(await succeed('topics', `--describe --topic ${topic} --under-replicated-partitions`)).toBe('')
    })

    it('adds partitions and deletes the topic', async () => {
      const topic = await createTopic('grows')
      await succeed('topics', `--alter --topic ${topic} --partitions 4`)
      await until(async () => (await succeed('topics', `--describe --topic ${topic}`)).includes('PartitionCount: 4'), {
        what: 'topic of 4 partitions',
      })
      const fewer = await tool('topics', `--alter --topic ${topic} --partitions 2`)
      expect(fewer).toMatchObject({ exitCode: 1 })
      expect(fewer.stderr).toContain('InvalidPartitionsException')

      await succeed('topics', `--delete --topic ${topic}`)
      await until(async () => !(await succeed('topics', '--list')).split('\n').includes(topic), {
        what: 'list without the deleted topic',
      })
    })

    it('fails with the reason of the broker', async () => {
      const topic = await createTopic('there')
      const again = await tool('topics', `--create --topic ${topic}`)
      expect(again).toMatchObject({ exitCode: 1 })
      expect(again.stderr).toContain('TopicExistsException')
      const replicated = await tool('topics', `--create --topic ${uniqueName('replicated')} --replication-factor 3`)
      expect(replicated).toMatchObject({ exitCode: 1 })
      expect(replicated.stderr).toContain('InvalidReplicationFactorException')
      const configured = await tool('topics', `--create --topic ${uniqueName('bad')} --config retention.ms=soon`)
      expect(configured.exitCode).toBe(1)
      const absent = await tool('topics', `--describe --topic ${uniqueName('absent')}`)
      expect(absent).toMatchObject({ exitCode: 1 })
    })
  })

  describe('the console producer and consumer', () => {
    it('pass keys, headers and values with each compression', async () => {
      for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
        const topic = await createTopic(codec)
        const reader = 'parse.key=true key.separator=: parse.headers=true null.marker=NULL'
          .split(' ')
          .map((property) => `--reader-property ${property}`)
          .join(' ')
        const input = 'h1:v1,h2:v2\tk1:first\nNULL\tk2:NULL\nh:v\tNULL:third\n'
        await succeed('consoleProducer', `--topic ${topic} --compression-codec ${codec} ${reader}`, input)

        const formatter = 'print.key print.headers print.offset print.partition'
          .split(' ')
          .map((property) => `--formatter-property ${property}=true`)
          .join(' ')
        expect(await consume(topic, `--from-beginning --max-messages 3 ${formatter}`)).toBe(
          'Partition:0\tOffset:0\th1:v1,h2:v2\tk1\tfirst\n' +
            'Partition:0\tOffset:1\tNO_HEADERS\tk2\tnull\n' +
            'Partition:0\tOffset:2\th:v\tnull\tthird\n',
        )
      }
    })

    it('produce with each level of acknowledgement and consume from an offset', async () => {
      const topic = await createTopic('acks')
      for (const acks of ['0', '1', 'all']) {
        const options = acks === 'all' ? '' : ' --command-property enable.idempotence=false'
        await succeed('consoleProducer', `--topic ${topic} --request-required-acks ${acks}${options}`, `acks ${acks}\n`)
      }
      expect(await consume(topic, '--partition 0 --offset 1 --max-messages 2')).toBe('acks 1\nacks all\n')
      expect(await consume(topic, '--partition 0 --offset earliest --max-messages 1')).toBe('acks 0\n')
    })

    it('go on where their group has stopped', async () => {
      const topic = await createTopic('resumed')
      const group = uniqueName('group')
      await produce(topic, 'a:1\na:2\na:3\n')
      expect(await consume(topic, `--group ${group} --from-beginning --max-messages 2`)).toBe('1\n2\n')
      expect(await consume(topic, `--group ${group} --max-messages 1`)).toBe('3\n')
    })

    it('create the topic that is not there', async () => {
      const topic = uniqueName('automatic')
      await produce(topic, 'a:1\n')
      expect(await consume(topic, '--from-beginning --max-messages 1')).toBe('1\n')
    })
  })

  describe('kafka-consumer-groups', () => {
    it('lists and describes a group without members', async () => {
      const { topic, group } = await groupAtTheEnd()
      expect((await succeed('consumerGroups', '--list')).split('\n')).toContain(group)
      expect(rows(await succeed('consumerGroups', '--list --state Empty'))).toContainEqual([group, 'Empty'])
      expect(rows(await succeed('consumerGroups', '--list --state Stable'))).not.toContainEqual([group, 'Stable'])
      expect(rows(await succeed('consumerGroups', '--list --type classic'))).toContainEqual([group, 'Classic'])
      expect(rows(await succeed('groups', '--list'))).toContainEqual([group, 'Classic', 'consumer'])

      await produce(topic, 'a:4\n')
      expect(rows(await succeed('consumerGroups', `--describe --group ${group}`))).toEqual([
        [group, topic, '0', '3', '4', '1', '-', '-', '-'],
        [group, topic, '1', '0', '0', '0', '-', '-', '-'],
      ])
      expect(rows(await succeed('consumerGroups', `--describe --group ${group} --state`))).toEqual([
        [group, broker.bootstrap, '(1)', '-', 'Empty', '0'],
      ])
      expect(rows(await succeed('consumerGroups', `--describe --group ${group} --members`))).toEqual([])
      const absent = uniqueName('absent')
      expect(await succeed('consumerGroups', `--describe --group ${absent}`)).toContain(`Group ${absent} not found.`)
    })

    it('resets offsets to every kind of place, but not before it is told to execute', async () => {
      const { topic, group } = await groupAtTheEnd()
      const reset = async (to: string): Promise<string[]> =>
        rows(await succeed('consumerGroups', `--reset-offsets --group ${group} --topic ${topic} ${to}`))
          .map(([, , partition, offset]) => `${partition}: ${offset}`)
          .toSorted()
      const committed = async (): Promise<string | undefined> =>
        rows(await succeed('consumerGroups', `--describe --group ${group}`))[0]?.[3]

      expect(await reset('--to-earliest --dry-run')).toEqual(['0: 0', '1: 0'])
      expect(await committed()).toBe('3')
      for (const [to, expected] of [
        ['--to-earliest', 0],
        ['--to-latest', 3],
        ['--shift-by -2', 1],
        ['--to-current', 1],
        ['--to-offset 2', 2],
        ['--to-datetime 2020-01-01T00:00:00.000', 0],
        ['--to-datetime 2100-01-01T00:00:00.000', 3],
        ['--by-duration PT1H', 0],
      ] as const) {
        const seen = { to, printed: await reset(`${to} --execute`), committed: await committed() }
        expect(seen).toEqual({ to, printed: [`0: ${expected}`, '1: 0'], committed: String(expected) })
      }
    })

    it('deletes offsets and groups', async () => {
      const { topic, group } = await groupAtTheEnd()
      const deleted = await succeed('consumerGroups', `--delete-offsets --group ${group} --topic ${topic}:0`)
      expect(rows(deleted)).toContainEqual([topic, '0', 'Successful'])
      expect(rows(await succeed('consumerGroups', `--describe --group ${group}`))).toEqual([
        [group, topic, '1', '0', '0', '0', '-', '-', '-'],
      ])
      expect(await succeed('consumerGroups', `--delete --group ${group}`)).toBe(
        `Deletion of requested consumer groups ('${group}') was successful.\n`,
      )
      expect((await succeed('consumerGroups', '--list')).split('\n')).not.toContain(group)
      expect(await succeed('consumerGroups', `--delete --group ${group}`)).toContain('GroupIdNotFoundException')
    })

    async function groupAtTheEnd(): Promise<{ topic: string; group: string }> {
      const topic = await createTopic('grouped', '--partitions 2')
      const group = uniqueName('group')
      // Both keys hash into partition 0 of two.
      await produce(topic, 'a:1\na:2\na:3\n')
      await consume(topic, `--group ${group} --from-beginning --max-messages 3`)
      return { topic, group }
    }
  })

  describe('kafka-configs', () => {
    it('describes and alters the settings of a topic', async () => {
      const topic = await createTopic('configured')
      const alter = `--alter --entity-type topics --entity-name ${topic}`
      const describeIt = `--describe --entity-type topics --entity-name ${topic}`
      const added = await succeed('configs', `${alter} --add-config retention.ms=1000,cleanup.policy=[compact,delete]`)
      expect(added).toBe(`Completed updating config for topic ${topic}.\n`)
      await until(async () => (await succeed('configs', describeIt)).includes('retention.ms'), {
        what: 'new setting',
      })
      const dynamic = await succeed('configs', describeIt)
      expect(dynamic).toContain('retention.ms=1000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1000')
      expect(dynamic).toContain('cleanup.policy=compact,delete sensitive=false')

      await succeed('configs', `${alter} --delete-config retention.ms`)
      await until(async () => !(await succeed('configs', describeIt)).includes('retention.ms'), { what: 'removal' })
      const all = await succeed('configs', `${describeIt} --all`)
      expect(all).toContain('  retention.ms=604800000 sensitive=false synonyms={')
      expect(all).toContain('  segment.bytes=1073741824 sensitive=false synonyms={DEFAULT_CONFIG:log.segment.bytes=')
      expect(all).toContain('  flush.messages=9223372036854775807 ')

      const bad = await tool('configs', `${alter} --add-config retention.ms=soon`)
      expect(bad).toMatchObject({ exitCode: 1 })
      expect(bad.stderr + bad.stdout).toContain('InvalidConfigurationException')
    })

    it('describes and alters the settings of one broker and of all', async () => {
      const all = await succeed('configs', '--describe --entity-type brokers --entity-name 1 --all')
      expect(all).toContain('  node.id=1 sensitive=false synonyms={')
      expect(all).toContain('  offsets.topic.num.partitions=4 sensitive=false synonyms={STATIC_BROKER_CONFIG:')
      expect(all).toContain('  log.retention.hours=168 sensitive=false synonyms={DEFAULT_CONFIG:')

      for (const entity of ['--entity-name 1', '--entity-default']) {
        const describeIt = `--describe --entity-type brokers ${entity}`
        await succeed('configs', `--alter --entity-type brokers ${entity} --add-config log.retention.ms=60000000`)
        await until(async () => (await succeed('configs', describeIt)).includes('log.retention.ms=60000000'), {
          what: `setting of ${entity}`,
        })
        await succeed('configs', `--alter --entity-type brokers ${entity} --delete-config log.retention.ms`)
        await until(async () => !(await succeed('configs', describeIt)).includes('log.retention.ms'), {
          what: `removal from ${entity}`,
        })
      }
    })
  })

  describe('tools that look into the log', () => {
    it('kafka-get-offsets knows every kind of time', async () => {
      const topic = await createTopic('measured', '--partitions 2')
      await produce(topic, 'a:1\na:2\na:3\n')
      const offsets = (time: string): Promise<string> => succeed('getOffsets', `--topic ${topic} --time ${time}`)
      const both = (zero: number): string => `${topic}:0:${zero}\n${topic}:1:0\n`
      expect(await succeed('getOffsets', `--topic ${topic}`)).toBe(both(3))
      expect(await succeed('getOffsets', `--topic-partitions ${topic}:0`)).toBe(`${topic}:0:3\n`)
      expect(await offsets('latest')).toBe(both(3))
      expect(await offsets('-1')).toBe(both(3))
      expect(await offsets('earliest')).toBe(both(0))
      expect(await offsets('-2')).toBe(both(0))
      expect(await offsets('earliest-local')).toBe(both(0))
      // Only partitions that have such an offset are printed.
      expect(await offsets('1')).toBe(`${topic}:0:0\n`)
      expect(await offsets('4102444800000')).toBe('')
      expect(await offsets('max-timestamp')).toMatch(new RegExp(`^${topic}:0:[012]\n$`))
      expect(await offsets('latest-tiered')).toBe('')
      expect(await offsets('earliest-pending-upload')).toBe('')

      // A group makes __consumer_offsets, whose 4 partitions are then listed among all.
      await consume(topic, `--group ${uniqueName('group')} --from-beginning --max-messages 1`)
      const everything = (await succeed('getOffsets', '--time latest')).split('\n')
      expect(everything).toContain(`${topic}:0:3`)
      expect(everything.filter((line) => line.startsWith('__consumer_offsets:'))).toHaveLength(4)
      expect(await succeed('getOffsets', '--exclude-internal-topics')).not.toContain('__consumer_offsets')
    })

    it('kafka-delete-records moves the start of the log', async () => {
      const topic = await createTopic('shortened')
      await produce(topic, 'a:1\na:2\na:3\n')
      const directory = mkdtempSync(join(tmpdir(), 'delete-records-'))
      try {
        const file = join(directory, 'offsets.json')
        const remove = (offset: number): Promise<RunResult> => {
          writeFileSync(file, JSON.stringify({ version: 1, partitions: [{ topic, partition: 0, offset }] }))
          return tool('deleteRecords', `--offset-json-file ${file}`)
        }
        expect((await remove(2)).stdout).toContain(`partition: ${topic}-0\tlow_watermark: 2`)
        expect(await succeed('getOffsets', `--topic ${topic} --time earliest`)).toBe(`${topic}:0:2\n`)
        expect(await consume(topic, '--from-beginning --max-messages 1')).toBe('3\n')
        expect((await remove(9)).stdout).toContain('OffsetOutOfRangeException')
        expect((await remove(-1)).stdout).toContain(`partition: ${topic}-0\tlow_watermark: 3`)
      } finally {
        rmSync(directory, { recursive: true })
      }
    })

    it('kafka-log-dirs lists partitions with their sizes', async () => {
      const topic = await createTopic('sized', '--partitions 2')
      await produce(topic, 'a:1\n')
      const printed = await succeed('logDirs', `--describe --topic-list ${topic}`)
      const { brokers } = JSON.parse(printed.split('\n').find((line) => line.startsWith('{'))!) as {
        brokers: {
          broker: number
          logDirs: { error: string | null; partitions: { partition: string; size: number }[] }[]
        }[]
      }
      expect(brokers.map(({ broker: id }) => id)).toEqual([1])
      const [logDir] = brokers[0]!.logDirs
      expect(logDir!.error).toBeNull()
      expect(logDir!.partitions.map(({ partition }) => partition).toSorted()).toEqual([`${topic}-0`, `${topic}-1`])
      const empty = logDir!.partitions.filter(({ size }) => size === 0)
      expect(empty.map(({ partition }) => partition)).toEqual([`${topic}-1`])
    })

    it('kafka-reassign-partitions finds nothing that moves', async () => {
      expect(await succeed('reassignPartitions', '--list')).toBe('No partition reassignments found.\n')
    })
  })

  describe('tools that know what a broker can do', () => {
    it('kafka-broker-api-versions lists the versions, and those of Produce from 0 on', async () => {
      const lines = (await succeed('brokerApiVersions', '')).split('\n').map((line) => line.trim())
      expect(lines[0]).toMatch(new RegExp(`^${broker.bootstrap} \\(id: 1 rack: null isFenced: false\\) -> \\($`))
      expect(lines).toContain('Produce(0): 0 to 13 [usable: 13],')
      expect(lines).toContain('Fetch(1): 4 to 18 [usable: 18],')
      expect(lines).toContain('JoinGroup(11): 0 to 9 [usable: 9],')
      expect(lines).toContain('PushTelemetry(72): UNSUPPORTED,')
    })

    it("Kafka's client compatibility test passes", async () => {
      const topic = await createTopic('compatible')
      const supported = 'offsets-for-times cluster-id create-topics describe-configs idempotent-producer'
        .split(' ')
        .map((feature) => `--${feature}-supported true`)
        .join(' ')
      // Without an authorizer Kafka supports ACLs no more than a broker that has never heard of them; the tool
      // tells the two apart.
      const acls = `--describe-acls-supported ${broker.kind === 'kafka'}`
      const expectations = `${supported} ${acls} --expect-record-too-large-exception false --num-cluster-nodes 1`
      expect(await succeed('clientCompatibility', `--topic ${topic} ${expectations}`)).toContain('SUCCESS')
    })
  })

  describe('tools that measure', () => {
    it('kafka-producer-perf-test and kafka-consumer-perf-test count the same records', async () => {
      const topic = await createTopic('performance', '--partitions 2')
      const load = '--num-records 5000 --record-size 100 --throughput -1'
      expect(await succeed('producerPerformance', `--topic ${topic} ${load}`)).toMatch(/^5000 records sent, /m)
      const [result] = rows(await succeed('consumerPerformance', `--topic ${topic} --num-records 5000 --timeout 20000`))
      // start.time and end.time have a space inside; then MB, MB per second, records.
      expect(Number.parseInt(result![6]!, 10)).toBeGreaterThanOrEqual(5000)
    })

    it('kafka-e2e-latency sends and receives one record after the other', async () => {
      const topic = await createTopic('latency')
      const load = '--num-records 20 --producer-acks 1 --record-size 100'
      expect(await succeed('endToEndLatency', `--topic ${topic} ${load}`)).toContain('Avg latency: ')
    })
  })

  describe('the verifiable producer and consumers', () => {
    it('share a topic between two members, who commit what was acknowledged', async () => {
      const topic = await createTopic('verified', '--partitions 4')
      const group = uniqueName('verifiable')
      const at = ['--bootstrap-server', broker.bootstrap, '--topic', topic]
      const consume = ['--group-id', group, '--reset-policy', 'earliest', '--verbose', '--group-instance-id']
      const member = (id: string) => startJavaTool(tools.verifiableConsumer, [...at, ...consume, id])
      const consumers = await Promise.all([member('one'), member('two')])
      try {
        await until(() => consumers.every((consumer) => lastAssignment(consumer.stdout)?.length === 2), {
          what: 'assignment of two partitions to each of two members',
          timeoutMs: 60_000,
        })
        const described = rows(await succeed('consumerGroups', `--describe --group ${group} --members`))
        // GROUP CONSUMER-ID GROUP-INSTANCE-ID HOST CLIENT-ID #PARTITIONS
        const members = described.map(([, , instance, host, , partitions]) => `${instance} ${host} ${partitions}`)
        expect(members.toSorted()).toEqual(['one /127.0.0.1 2', 'two /127.0.0.1 2'])
        expect(rows(await succeed('consumerGroups', `--describe --group ${group} --state`))).toEqual([
          [group, broker.bootstrap, '(1)', 'range', 'Stable', '2'],
        ])
        const refused = await succeed(
          'consumerGroups',
          `--reset-offsets --group ${group} --topic ${topic} --to-earliest --execute`,
        )
        expect(refused).toContain('Assignments can only be reset if the group')
        expect(await succeed('consumerGroups', `--delete --group ${group}`)).toContain('GroupNotEmptyException')

        const producer = await startJavaTool(tools.verifiableProducer, [
          ...at,
          '--max-messages',
          '400',
          '--acks',
          '-1',
          '--value-prefix',
          '7',
        ])
        const sent = events((await producer.ended).stdout)
        const acknowledged = sent.filter(({ name }) => name === 'producer_send_success')
        expect(acknowledged).toHaveLength(400)
        expect(sent.find(({ name }) => name === 'producer_send_error')).toBeUndefined()

        const consumed = (): Event[] => consumers.flatMap((consumer) => events(consumer.stdout))
        const where = ({ partition, offset, value }: Event): string => `${partition} ${offset} ${value}`
        const records = (): string[] =>
          consumed()
            .filter(({ name }) => name === 'record_data')
            .map(where)
        await until(() => records().length >= 400, { what: 'consumed record for each that was acknowledged' })
        expect(records().toSorted()).toEqual(acknowledged.map(where).toSorted())

        // A partition without records has no committed offset, which is printed as a dash.
        const committed = async (): Promise<number> =>
          rows(await succeed('consumerGroups', `--describe --group ${group}`))
            .map((row) => Number(row[3]!.replace('-', '0')))
            .reduce((sum, offset) => sum + offset)
        await until(async () => (await committed()) === 400, { what: 'commit of all' })
        const commits = consumed().filter(({ name }) => name === 'offsets_committed')
        expect(commits.length).toBeGreaterThan(0)
        expect(commits.every(({ success }) => success)).toBe(true)
      } finally {
        await Promise.all(consumers.map((consumer) => consumer.stop()))
      }
    })
  })
})

/** The rows of a printed table without its head, each split into its columns, and without warnings before it. */
function rows(table: string): string[][] {
  const lines = table.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('Warn: '))
  return lines.slice(1).map((line) => line.trim().split(/\s+/))
}

interface Event {
  readonly name: string
  readonly partition?: number
  readonly offset?: number
  readonly value?: string
  readonly success?: boolean
  readonly partitions?: readonly object[]
}

/** What a verifiable client has reported so far, one JSON object a line; the last line may not be complete. */
function events(stdout: string): Event[] {
  const lines = stdout.slice(0, stdout.lastIndexOf('\n') + 1).split('\n')
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Event)
}

function lastAssignment(stdout: string): readonly object[] | undefined {
  return events(stdout).findLast(({ name }) => name === 'partitions_assigned')?.partitions
}
