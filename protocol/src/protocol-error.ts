/**
 * Bytes that are no message, or a value that no message can carry. What arrives from a client is answered by closing
 * the connection: after such a frame nothing that follows can be trusted to be where it seems.
 */
export class ProtocolError extends RangeError {
  override readonly name = 'ProtocolError'
}
