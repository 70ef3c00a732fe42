// Run by `npm install` in a checkout: builds the native module where there is cargo. Everything works without it, so
// nothing here fails the install.
import { spawnSync } from 'node:child_process'

const native = new URL('../native/', import.meta.url)

if (spawnSync('cargo', ['--version']).error !== undefined) {
  console.log('millrace: no cargo here, so the TypeScript twin of the native module is used')
} else {
  const args = ['build', '--platform', '--release', '--no-js', '--dts', '../target/native.d.ts']
  const built = spawnSync('napi', args, { cwd: native, encoding: 'utf8', shell: process.platform === 'win32' })
  if (built.status !== 0) {
    console.log(
      'millrace: the native module was not built; one that an earlier install built is used, or else its TypeScript twin',
    )
    console.log(built.error?.message ?? built.stderr)
  }
}
