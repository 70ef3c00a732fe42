#!/usr/bin/env node
// Written so that a Node which is too old can still read it and say so.
var version = process.versions.node.split('.').map(Number)
if (version[0] < 22 || (version[0] === 22 && version[1] < 18)) {
  console.error('millrace-streams needs Node 22.18 or newer; this is Node ' + process.versions.node + '.')
  process.exit(1)
}
import('@millrace/streams/cli')
  .then(function (cli) {
    return cli.main(process.argv.slice(2))
  })
  .then(function (code) {
    process.exitCode = code
  })
  .catch(function (error) {
    console.error(error)
    process.exit(1)
  })
