/** Where the core gets its randomness: the machine's in production, a seed's in the simulator. */
export interface Random {
  /** An unsigned 32-bit integer. */
  u32(): number
  bytes(count: number): Buffer
  /** A version 4 UUID in Kafka's text form: 16 bytes as 22 characters of base64url. Never starts with a dash. */
  uuid(): string
}
