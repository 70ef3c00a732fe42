/** Variables that Kafka's scripts and images read themselves and that are no settings of the broker. */
const OF_THE_SCRIPTS = new Set([
  'KAFKA_HOME',
  'KAFKA_VERSION',
  'KAFKA_DEBUG',
  'KAFKA_OPTS',
  'KAFKA_HEAP_OPTS',
  'KAFKA_GC_LOG_OPTS',
  'KAFKA_JVM_PERFORMANCE_OPTS',
  'KAFKA_JMX_OPTS',
  'KAFKA_JMX_PORT',
  'KAFKA_JMX_HOSTNAME',
  'KAFKA_LOG4J_OPTS',
  'KAFKA_LOG4J_LOGGERS',
  'KAFKA_LOG4J_ROOT_LOGLEVEL',
  'KAFKA_TOOLS_LOG4J_LOGLEVEL',
])

/**
 * The settings in an environment, by the rule of Confluent's images: KAFKA_LOG_RETENTION_MS is log.retention.ms, two
 * underscores are a dash and three are an underscore.
 */
export function settingsOf(environment: Readonly<Record<string, string | undefined>>): Map<string, string> {
  const settings = new Map<string, string>()
  for (const [variable, value] of Object.entries(environment)) {
    if (value === undefined || !variable.startsWith('KAFKA_') || OF_THE_SCRIPTS.has(variable)) continue
    settings.set(settingName(variable.slice('KAFKA_'.length)), value)
  }
  return settings
}

function settingName(variable: string): string {
  return variable
    .toLowerCase()
    .replace(/_{1,3}/g, (underscores) => (underscores.length === 3 ? '_' : underscores.length === 2 ? '-' : '.'))
}
