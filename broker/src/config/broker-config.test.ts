import { describe, expect, it } from 'vitest'
import { ConfigError } from '../base/errors.ts'
import { BrokerConfig, developmentDefaults, type ConfigInputs } from './broker-config.ts'

const LONG_MAX = '9223372036854775807'

function errorOf(inputs: ConfigInputs): ConfigError {
  try {
    BrokerConfig.from(inputs)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the settings were accepted')
}

describe('BrokerConfig', () => {
  it('takes defaults < profile < file < environment < sets', () => {
    const all: ConfigInputs = {
      defaults: { 'num.partitions': '2' },
      file: 'num.partitions=3',
      environment: { KAFKA_NUM_PARTITIONS: '4', HOME: '/root' },
      sets: ['num.partitions=5', 'num.partitions=6'],
    }
    const { sets, ...noSets } = all
    const { environment, ...noEnvironment } = noSets
    const { file, ...noFile } = noEnvironment
    expect([sets, environment, file]).not.toContain(undefined)
    expect(BrokerConfig.from(all).int('num.partitions')).toBe(6)
    expect(BrokerConfig.from(noSets).int('num.partitions')).toBe(4)
    expect(BrokerConfig.from(noEnvironment).int('num.partitions')).toBe(3)
    expect(BrokerConfig.from(noFile).int('num.partitions')).toBe(2)
    expect(BrokerConfig.from().int('num.partitions')).toBe(1)
  })

  it('has Kafka’s default for the rebalance delay, and none of it for development', () => {
    expect(BrokerConfig.from().int('group.initial.rebalance.delay.ms')).toBe(3000)
    expect(BrokerConfig.from({ defaults: developmentDefaults }).int('group.initial.rebalance.delay.ms')).toBe(0)
    const file = 'group.initial.rebalance.delay.ms=77'
    expect(BrokerConfig.from({ defaults: developmentDefaults, file }).int('group.initial.rebalance.delay.ms')).toBe(77)
  })

  it('reads environment names by Confluent’s rule and leaves those of the scripts alone', () => {
    const environment = {
      KAFKA_LOG_RETENTION_MS: '1000',
      KAFKA_BROKER_RACK: 'a_b',
      KAFKA_HEAP_OPTS: '-Xmx1g',
      KAFKA_LISTENER_NAME_EXT___ERNAL_FOO__BAR: 'x',
    }
    const config = BrokerConfig.from({ environment })
    expect(config.get('log.retention.ms')).toBe('1000')
    expect(config.get('broker.rack')).toBe('a_b')
    expect([...config.unknown.keys()]).toEqual(['listener.name.ext_ernal.foo-bar'])
  })

  it('keeps the exact text of a long and clamps its number', () => {
    const config = BrokerConfig.from({ sets: [`log.flush.interval.messages=${LONG_MAX}`] })
    expect(config.get('log.flush.interval.messages')).toBe(LONG_MAX)
    expect(config.int('log.flush.interval.messages')).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('warns once of each unknown setting and names the nearest known one', () => {
    const config = BrokerConfig.from({
      file: 'num.partions=3\nzookeeper.connect=localhost:2181\nsomething.of.mine=1',
      sets: ['retention.ms=5', 'num.partions=4'],
    })
    expect(config.warnings).toEqual([
      'unknown setting num.partions is ignored; did you mean num.partitions?',
      'unknown setting zookeeper.connect is ignored',
      'unknown setting something.of.mine is ignored',
      'unknown setting retention.ms is ignored; did you mean log.retention.ms?',
    ])
  })

  it('warns of a setting whose feature is not built, unless it has its default', () => {
    const config = BrokerConfig.from({
      file: 'authorizer.class.name=kafka.Acl\nremote.log.storage.system.enable=false\nlog.cleaner.threads=2',
    })
    expect(config.warnings).toEqual(['authorizer.class.name has no effect yet: it waits for access control'])
  })

  it.each([
    ['num.partitions', 'many', 'Not a number of type INT'],
    ['num.partitions', '0', 'Value must be at least 1'],
    ['auto.create.topics.enable', 'yup', 'Expected value to be either true or false'],
    ['log.cleanup.policy', 'bogus', 'String must be one of: compact, delete'],
    ['log.retention.hours', '0', 'must be -1 for ever, or 1 or more'],
    ['process.roles', 'broker', 'a node that joins other controllers is not there yet'],
    ['controller.quorum.voters', '1@a:1,2@b:1', 'a quorum of several controllers is not there yet'],
    ['listeners', 'garbage', 'NAME://host:port expected'],
    ['listeners', 'FOO://:9092', 'listener.security.protocol.map has no protocol for FOO'],
    ['listeners', 'SSL://:9092', 'SSL is not there yet, only PLAINTEXT'],
    ['listeners', 'PLAINTEXT://:1,PLAINTEXT://:2', 'two listeners are named PLAINTEXT'],
    ['listeners', 'PLAINTEXT://:65536', 'NAME://host:port expected'],
    ['advertised.listeners', 'PLAINTEXT://0.0.0.0:9092', 'no client can connect to this address'],
    ['advertised.listeners', 'EXTERNAL://a:1', 'listeners has none named EXTERNAL'],
  ])('refuses %s=%s and says why', (name, value, why) => {
    const error = errorOf({ sets: [`${name}=${value}`] })
    expect(error.message).toContain(why)
    expect(error.message).toContain(value === '0' ? '0' : value.split(',')[0])
    expect(error.setting).toBe(name)
  })

  it('refuses a set without an equals sign', () => {
    expect(errorOf({ sets: ['num.partitions'] }).message).toContain('name=value expected')
  })

  it('takes the server.properties that come with Kafka', () => {
    const config = BrokerConfig.from({
      file: `
        process.roles=broker,controller
        node.id=1
        controller.quorum.bootstrap.servers=localhost:9093
        listeners=PLAINTEXT://:9092,CONTROLLER://:9093
        inter.broker.listener.name=PLAINTEXT
        advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
        controller.listener.names=CONTROLLER
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
        num.network.threads=3
        num.io.threads=8
        socket.send.buffer.bytes=102400
        socket.receive.buffer.bytes=102400
        socket.request.max.bytes=104857600
        log.dirs=/tmp/kraft-combined-logs
        num.partitions=1
        num.recovery.threads.per.data.dir=1
        offsets.topic.replication.factor=1
        share.coordinator.state.topic.replication.factor=1
        share.coordinator.state.topic.min.isr=1
        transaction.state.log.replication.factor=1
        transaction.state.log.min.isr=1
        log.retention.hours=168
        log.segment.bytes=1073741824
        log.retention.check.interval.ms=300000
      `,
    })
    expect(config.listeners).toEqual([
      { name: 'PLAINTEXT', host: '', port: 9092, advertised: { host: 'localhost', port: 9092 } },
    ])
    expect(config.logDirs).toEqual(['/tmp/kraft-combined-logs'])
    expect(config.warnings).toEqual([
      'listener PLAINTEXT takes connections from the network (every interface), unencrypted and from anybody',
    ])
  })

  it('listens on this machine alone by default, which is no reason to warn', () => {
    const config = BrokerConfig.from()
    expect(config.listeners).toEqual([{ name: 'PLAINTEXT', host: '127.0.0.1', port: 9092, advertised: null }])
    expect(config.warnings).toEqual([])
  })

  it('keeps several plaintext listeners apart by their names', () => {
    const config = BrokerConfig.from({
      environment: {
        KAFKA_LISTENERS: 'INTERNAL://0.0.0.0:29092,EXTERNAL://[::1]:9092',
        KAFKA_ADVERTISED_LISTENERS: 'INTERNAL://kafka:29092,EXTERNAL://localhost:9092',
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT',
      },
    })
    expect(config.listeners.map(({ name, host, advertised }) => [name, host, advertised?.host])).toEqual([
      ['INTERNAL', '0.0.0.0', 'kafka'],
      ['EXTERNAL', '::1', 'localhost'],
    ])
  })

  it('takes broker.id for node.id', () => {
    const config = BrokerConfig.from({ file: 'broker.id=4' })
    expect(config.nodeId).toBe(4)
  })

  it('puts dynamic settings over static ones, those of the broker first, and takes them back', () => {
    const config = BrokerConfig.from({ sets: ['log.retention.ms=1'] })
    config.applyDynamic(new Map(), new Map([['log.retention.ms', '2']]))
    expect(config.int('log.retention.ms')).toBe(2)
    config.applyDynamic(new Map([['log.retention.ms', '3']]), new Map([['log.retention.ms', '2']]))
    expect(config.int('log.retention.ms')).toBe(3)
    expect(config.sources('log.retention.ms').slice(0, 3)).toEqual([
      { name: 'log.retention.ms', value: '3', source: 'dynamic broker' },
      { name: 'log.retention.ms', value: '2', source: 'dynamic default broker' },
      { name: 'log.retention.ms', value: '1', source: 'static broker' },
    ])
    config.applyDynamic(new Map(), new Map())
    expect(config.int('log.retention.ms')).toBe(1)
  })

  it('ignores stored dynamic settings that it would refuse today', () => {
    const config = BrokerConfig.from()
    config.applyDynamic(new Map([['num.partitions', '7']]), new Map([['log.retention.ms', 'x']]))
    expect(config.int('num.partitions')).toBe(1)
    expect(config.get('log.retention.ms')).toBeNull()
  })

  it('gives topics the finest of the broker’s settings, in the topic’s unit', () => {
    const hours = BrokerConfig.from({ sets: ['log.retention.hours=2'] })
    expect(hours.topicDefault('retention.ms')).toMatchObject({ name: 'log.retention.hours', value: '7200000' })
    const minutes = BrokerConfig.from({ sets: ['log.retention.hours=2', 'log.retention.minutes=3'] })
    expect(minutes.topicDefault('retention.ms')?.value).toBe('180000')
    const forever = BrokerConfig.from({ sets: ['log.retention.hours=-1'] })
    expect(forever.topicDefault('retention.ms')?.value).toBe('-1')
    expect(BrokerConfig.from().topicDefault('retention.ms')).toBeUndefined()
  })

  it('takes several data directories', () => {
    const config = BrokerConfig.from({ sets: ['log.dirs=/a, /b'] })
    expect(config.logDirs).toEqual(['/a', '/b'])
    expect(config.warnings).toEqual([])
  })

  it('warns that no topic can be made when the default wants more replicas than one', () => {
    expect(BrokerConfig.from({ sets: ['default.replication.factor=3'] }).warnings).toHaveLength(1)
  })
})
