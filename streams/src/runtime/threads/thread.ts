// Where a thread begins: it runs the topology of a module as an application of its own, and tells its owner about it.
import { parentPort, workerData } from 'node:worker_threads'
import { StreamsApp } from '../app.ts'
import type { StreamsLogger } from '../options.ts'
import { sentError, type FromThread, type Question, type Status, type ThreadData, type ToThread } from './messages.ts'
import { importTopology } from './topology-module.ts'

const STATUS_EVERY_MS = 250

const port = parentPort!
const tell = (message: FromThread): void => port.postMessage(message)

async function main({ module, options, isLogged }: ThreadData): Promise<void> {
  const logger: StreamsLogger = {
    info: (message) => tell({ kind: 'log', level: 'info', message }),
    warn: (message) => tell({ kind: 'log', level: 'warn', message }),
  }
  let join!: () => void
  const mayJoin = new Promise<void>((resolve) => (join = resolve))
  const closing = new AbortController()
  port.on('message', (message: ToThread) => {
    if (message.kind === 'close') closing.abort()
    // Also for one that is closed before it may: it finds out there.
    if (message.kind !== 'ask') join()
  })
  let app: StreamsApp
  try {
    const prepared = async (): Promise<void> => {
      tell({ kind: 'prepared' })
      await mayJoin
      closing.signal.throwIfAborted()
    }
    app = await StreamsApp.run(
      await importTopology(module),
      { ...options, ...(isLogged ? { logger } : {}), signal: closing.signal },
      { prepared },
    )
  } catch (error) {
    tell({ kind: 'ended', error: sentError(error), status: null })
    port.close()
    return
  }
  const status = (): Status => ({ state: app.state, metrics: app.metrics() })
  tell({ kind: 'started', applicationId: app.applicationId, status: status() })
  app.running().then(
    () => tell({ kind: 'status', status: status() }),
    () => {},
  )
  const telling = setInterval(() => tell({ kind: 'status', status: status() }), STATUS_EVERY_MS)
  port.on('message', (message: ToThread) => {
    if (message.kind !== 'ask') return
    const { id, question } = message
    answerTo(app, question)
      .then((value) => tell({ kind: 'answer', id, value, status: status() }))
      // Also of an answer that cannot be sent, such as a value that has a function.
      .catch((error: unknown) => tell({ kind: 'refused', id, error: sentError(error) }))
  })
  await app.closed
  clearInterval(telling)
  tell({ kind: 'ended', error: app.failure === null ? null : sentError(app.failure), status: status() })
  port.close()
}

async function answerTo(app: StreamsApp, question: Question): Promise<unknown> {
  switch (question.what) {
    case 'commit':
      await app.commit()
      return null
    case 'metrics':
      return null
    case 'get':
      return app.query(question.store).get(question.key)
    case 'windows': {
      const { from, to } = question
      return app.query(question.store).windows(question.key, {
        ...(from === undefined ? {} : { from }),
        ...(to === undefined ? {} : { to }),
      })
    }
    case 'range':
      return [...app.query(question.store).range(question.from, question.to)]
    case 'all':
      return [...app.query(question.store).all()]
    case 'owner':
      return app.query(question.store).owner(question.key)
  }
}

await main(workerData as ThreadData)
