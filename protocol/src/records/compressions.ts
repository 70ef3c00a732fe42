/** The codecs of a record batch, at the position that is their code in the attributes. */
export const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

export type Compression = (typeof COMPRESSIONS)[number]

/** Compressed bytes that are malformed, or (OutputTooLargeError) that would become more than the caller allows. */
export class DecompressionError extends RangeError {
  override readonly name: string = 'DecompressionError'
  readonly compression: Compression

  constructor(compression: Compression, reason: string, options?: ErrorOptions) {
    super(`${compression}: ${reason}`, options)
    this.compression = compression
  }
}

export class OutputTooLargeError extends DecompressionError {
  override readonly name = 'OutputTooLargeError'

  constructor(compression: Compression, maxOutputBytes: number, options?: ErrorOptions) {
    super(compression, `more than ${maxOutputBytes} bytes come out`, options)
  }
}
