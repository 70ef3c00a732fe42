/** An address as clients and settings write it: `127.0.0.1:9092`, and `[::1]:9092` for a host with colons of its own. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
