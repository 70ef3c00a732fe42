/** A run of producer ids that nobody else hands out. */
export interface ProducerIdBlock {
  readonly first: number
  readonly count: number
}

/** Hands out producer ids, each once in the life of the cluster: blocks come from the metadata log, ids from the block. */
export class ProducerIds {
  readonly #allocateBlock: () => ProducerIdBlock
  #next = 0
  #end = 0

  constructor(allocateBlock: () => ProducerIdBlock) {
    this.#allocateBlock = allocateBlock
  }

  next(): number {
    if (this.#next === this.#end) {
      const block = this.#allocateBlock()
      this.#next = block.first
      this.#end = block.first + block.count
    }
    const id = this.#next
    this.#next += 1
    return id
  }
}
