import { RetryLater } from '../topology/error-handler.ts'

const LOOK_AGAIN_MS = 10

/**
 * Thrown by a serde that has begun to fetch what it needs for this record: the same record is delivered again, with its
 * task waiting meanwhile. No handler of the application sees it, because the record is not at fault.
 */
export class NotReady extends RetryLater {
  constructor(what: string) {
    super(LOOK_AGAIN_MS, 0, new Error(what))
    this.name = 'NotReady'
    this.message = what
  }
}
