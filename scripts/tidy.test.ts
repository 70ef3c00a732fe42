// Checks of the source text itself, the kind that a reviewer should not have to make by eye.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')

/** Folders of broker/src from the bottom up. A folder imports only folders before it; the files beside them, any. */
const layers = [
  'base',
  'config',
  'metrics',
  'log',
  'metadata',
  'partition',
  'groups',
  'transactions',
  'replication',
  'security',
  'handlers',
  'network',
  'console',
  'platform',
  'testing',
]

/** What each package may import of the others. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  native: [],
  protocol: ['@millrace/native'],
  broker: ['@millrace/protocol', '@millrace/native'],
  streams: ['@millrace/protocol'],
  'compat-tests': ['millrace', '@millrace/protocol', '@millrace/streams'],
  bench: ['millrace', '@millrace/protocol', '@millrace/streams'],
}

/** APIs with a message table but without a handler: each with its reason. */
const withoutHandler: Readonly<Record<string, string>> = {}

/** Tests in which something takes time because that is its part, and nobody waits for the time to pass. */
const slowOnPurpose: Readonly<Record<string, string>> = {
  'compat-tests/kafkajs/committing.test.ts': 'a handler that is slow, so that commits fall between its messages',
  'compat-tests/kafkajs/rebalancing.test.ts': 'a load that leaves the machine some air between its batches',
  'compat-tests/platformatic/grouping.test.ts': 'the same load',
  'streams/test/integration/async.test.ts': 'a look-up that takes its time, so that its answers come out of order',
}

/** The only files that may know the process and the machine. */
const touchesTheWorld = /^broker\/src\/(?:platform\/|cli\.ts$)/

const ignored = new Set(['node_modules', 'dist', 'target', 'coverage', '.git', '.cache', '.millrace'])

/** Paths below the root, in the order of their names, with forward slashes. */
function filesBelow(folder: string, ending: string): string[] {
  const found: string[] = []
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    if (ignored.has(entry.name)) continue
    const path = join(folder, entry.name)
    if (entry.isDirectory()) found.push(...filesBelow(path, ending))
    else if (entry.name.endsWith(ending)) found.push(path)
  }
  return found.sort()
}

const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const isTest = (file: string): boolean => file.endsWith('.test.ts')

const typescript = filesBelow('', '.ts')
const sourcesOf = (pkg: string): string[] =>
  typescript.filter((file) => file.startsWith(`${pkg}/`) && !isTest(file) && !file.startsWith(`${pkg}/test/`))
const broker = sourcesOf('broker').filter((file) => file.startsWith('broker/src/'))
const tests = typescript.filter(isTest)
const markdown = filesBelow('', '.md')

/** The text without comments and without the insides of plain strings, so that a search finds code only. */
function codeOf(text: string): string {
  const pieces = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|\$\{[^}]*\}|[^`\\])*`/g
  return text.replace(pieces, (piece) => {
    if (piece.startsWith('/')) return ''
    if (piece.startsWith('`')) return [...piece.matchAll(/\$\{[^}]*\}/g)].map(([expression]) => expression).join(' ')
    return "''"
  })
}

/** What a file imports, statically or not: packages by their names, files by their paths below the root. */
function importsOf(file: string): { readonly packages: string[]; readonly files: string[] } {
  const text = read(file)
  const specifiers = [
    ...text.matchAll(/^(?:import|export)\s(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]/gm),
    ...text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g),
  ].map(([, specifier]) => specifier!)
  return {
    packages: specifiers.filter((specifier) => !specifier.startsWith('.')),
    files: specifiers.filter((specifier) => specifier.startsWith('.')).map((path) => join(dirname(file), path)),
  }
}

/** `log` of broker/src/log/disk.ts; undefined for a file that lies beside the folders. */
function folderOf(file: string): string | undefined {
  const parts = relative('broker/src', file).split('/')
  return parts.length > 1 ? parts[0] : undefined
}

describe('the checks themselves', () => {
  it('see the sources, the tests and the documents', () => {
    expect(broker.length).toBeGreaterThan(50)
    expect(sourcesOf('protocol').length).toBeGreaterThan(50)
    expect(tests.length).toBeGreaterThan(20)
    expect(markdown.length).toBeGreaterThan(5)
  })

  it('see through comments and strings, and do not overlook code', () => {
    expect(codeOf("a('Date.now') // Date.now\n/* Date.now */ b(`x ${Date.now()} y`)")).toBe("a('') \n b(${Date.now()})")
    expect(codeOf("const url = 'http://x'; Math.random()")).toContain('Math.random()')
  })

  it('see imports of every form', () => {
    const { files, packages } = importsOf('broker/src/broker.ts')
    expect(files).toContain('broker/src/log/log-directory.ts')
    expect(packages).toContain('@millrace/protocol')
  })
})

describe('layers', () => {
  it('every folder of the broker has its place', () => {
    const folders = readdirSync(join(root, 'broker/src'), { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    )
    expect(folders.length).toBeGreaterThan(5)
    expect(folders.map((entry) => entry.name).filter((name) => !layers.includes(name))).toEqual([])
  })

  it('a folder of the broker imports only folders below it', () => {
    let seen = 0
    const upward = broker.flatMap((file) => {
      const from = folderOf(file)
      if (from === undefined) return []
      return importsOf(file).files.flatMap((target) => {
        seen += 1
        const to = folderOf(target)
        // The files beside the folders put the parts together; only what tests a whole broker stands above them.
        const isUpward = to === undefined ? from !== 'testing' : layers.indexOf(to) > layers.indexOf(from)
        return isUpward ? [`${file} -> ${target}`] : []
      })
    })
    expect(seen).toBeGreaterThan(100)
    expect(upward).toEqual([])
  })

  it('packages import each other as agreed, and by name', () => {
    const packages = Object.keys(mayImport)
    const ours = /^(?:millrace$|millrace\/|@millrace\/)/
    let seen = 0
    const wrong = packages.flatMap((pkg) =>
      sourcesOf(pkg).flatMap((file) => {
        const imports = importsOf(file)
        seen += imports.packages.length
        const strangers = imports.packages.filter(
          (name) =>
            ours.test(name) && !mayImport[pkg]!.some((allowed) => name === allowed || name.startsWith(`${allowed}/`)),
        )
        const outside = imports.files.filter((target) => !target.startsWith(`${pkg}/`))
        return [...strangers, ...outside].map((target) => `${file} -> ${target}`)
      }),
    )
    expect(seen).toBeGreaterThan(50)
    expect(wrong).toEqual([])
  })

  it('streams reaches a broker only over the wire', () => {
    const manifest = JSON.parse(read('streams/package.json')) as { dependencies?: Record<string, string> }
    expect(Object.keys(manifest.dependencies ?? {})).not.toContain('millrace')
    const files = typescript.filter((file) => file.startsWith('streams/') && !isTest(file))
    const reaching = files.filter((file) => importsOf(file).files.some((target) => target.startsWith('broker/')))
    expect(reaching).toEqual([])
  })
})

describe('the core', () => {
  const ambient =
    /\b(?:Date|performance)\b\s*[.(]|\bnew Date\b|\bMath\.random\b|(?<!#)\bprocess\s*\.|\bset(?:Timeout|Interval|Immediate)\s*\(|\bconsole\s*\.|\bcrypto\s*\./

  const worldly = /^node:(?:fs|net|os|dns|tls|http|https|crypto|timers|child_process|worker_threads|cluster)(?:\/|$)/

  it('takes clock, randomness, files and network from what it is given', () => {
    const core = broker.filter((file) => !touchesTheWorld.test(file))
    expect(core.length).toBeGreaterThan(50)
    const reaching = core.filter(
      (file) => ambient.test(codeOf(read(file))) || importsOf(file).packages.some((name) => worldly.test(name)),
    )
    expect(reaching).toEqual([])
  })

  it('is checked by a search that finds what it looks for', () => {
    const adapters = broker.filter((file) => file.startsWith('broker/src/platform/'))
    expect(adapters.filter((file) => ambient.test(codeOf(read(file)))).length).toBeGreaterThan(0)
    expect(
      adapters.filter((file) => importsOf(file).packages.some((name) => worldly.test(name))).length,
    ).toBeGreaterThan(1)
  })
})

describe('APIs', () => {
  const tables = filesBelow('protocol/src/apis', '.ts').map((file) => basename(file))
  const numbered = /^\d\d-[a-z-]+\.ts$/

  it('each with a message table has a handler of the same name, or a reason', () => {
    const apis = tables.filter((file) => numbered.test(file))
    const handlers = filesBelow('broker/src/handlers', '.ts').map((file) => basename(file))
    expect(apis.length).toBeGreaterThan(20)
    expect(apis.filter((file) => !handlers.includes(file) && withoutHandler[file] === undefined)).toEqual([])
    expect(handlers.filter((file) => numbered.test(file) && !apis.includes(file))).toEqual([])
    expect(Object.keys(withoutHandler).filter((file) => handlers.includes(file) || !apis.includes(file))).toEqual([])
  })

  it('each table is collected in the index, and each handler in its own', () => {
    for (const folder of ['protocol/src/apis', 'broker/src/handlers']) {
      const collected = importsOf(`${folder}/index.ts`).files
      const files = filesBelow(folder, '.ts').filter((file) => numbered.test(basename(file)))
      expect(files.filter((file) => !collected.includes(file))).toEqual([])
    }
  })

  it('each table carries the key of its file name', () => {
    const wrong = tables.filter((file) => {
      if (!numbered.test(file)) return false
      const key = /\bkey: (\d+)/.exec(read(`protocol/src/apis/${file}`))?.[1]
      return Number(key) !== Number(file.slice(0, 2))
    })
    expect(wrong).toEqual([])
  })
})

describe('tests', () => {
  // This file names what it forbids.
  const others = tests.filter((file) => file !== 'scripts/tidy.test.ts')

  it('run all: none is singled out', () => {
    expect(others.length).toBeGreaterThan(20)
    expect(others.filter((file) => /\b(?:it|test|describe|suite)(?:\.\w+)*\.only\b/.test(codeOf(read(file))))).toEqual(
      [],
    )
  })

  it('wait for a condition and never for a time', () => {
    const sleeps = /\bsleep\s*\(|new Promise[^;]{0,80}?\bset(?:Timeout|Interval)\s*\(|\btimers\/promises\b/
    const sleeping = others.filter((file) => {
      const isAsleep = (text: string): boolean => sleeps.test(text)
      return isAsleep(codeOf(read(file))) || importsOf(file).packages.some(isAsleep)
    })
    expect(sleeping).toEqual(Object.keys(slowOnPurpose))
  })
})

describe('files', () => {
  it('have names in kebab-case', () => {
    expect(typescript.filter((file) => !/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z]+)*\.ts$/.test(basename(file)))).toEqual([])
  })

  it('leave no reminder for later: that is an issue', () => {
    const reminders = /\b(?:TODO|FIXME|XXX)\b/
    expect(typescript.filter((file) => file !== 'scripts/tidy.test.ts' && reminders.test(read(file)))).toEqual([])
  })
})

describe('package.json', () => {
  interface Manifest {
    readonly name: string
    readonly version: string
    readonly workspaces?: readonly string[]
    readonly dependencies?: Readonly<Record<string, string>>
    readonly scripts?: Readonly<Record<string, string>>
  }
  const manifestOf = (folder: string): Manifest => JSON.parse(read(join(folder, 'package.json'))) as Manifest
  const main = manifestOf('')
  const workspaces = main.workspaces ?? []

  it('names workspaces that exist, all of one version', () => {
    expect([...workspaces].sort()).toEqual(Object.keys(mayImport).sort())
    for (const folder of workspaces) expect([folder, manifestOf(folder).version]).toEqual([folder, main.version])
  })

  it('asks for exact versions, of our own packages this one', () => {
    const names = new Set(workspaces.map((folder) => manifestOf(folder).name))
    const wrong = workspaces.flatMap((folder) =>
      Object.entries(manifestOf(folder).dependencies ?? {}).flatMap(([name, version]) => {
        const isExact = names.has(name) ? version === main.version : /^\d+\.\d+\.\d+$/.test(version)
        return isExact ? [] : [`${folder}: ${name} ${version}`]
      }),
    )
    expect(names.size).toBe(workspaces.length)
    expect(wrong).toEqual([])
  })

  it('has scripts whose files exist', () => {
    const files = Object.values(main.scripts ?? {}).flatMap(
      (line) => line.match(/[\w./-]+\/[\w./-]+\.(?:ts|js|json)\b/g) ?? [],
    )
    expect(files.length).toBeGreaterThan(0)
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([])
  })
})

describe('documents', () => {
  /** The fragment that a heading gets on the usual viewers. */
  const fragmentsOf = (text: string): string[] =>
    [...text.matchAll(/^#+ +(.+)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    )

  it('link to files and headings that exist', () => {
    let seen = 0
    const broken = markdown.flatMap((file) => {
      const text = read(file).replace(/^```[\s\S]*?^```/gm, '')
      return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]) => {
        if (/^[a-z]+:/.test(link!)) return []
        seen += 1
        const [path, fragment] = link!.split('#') as [string, string | undefined]
        const target = path === '' ? file : join(dirname(file), path)
        if (!existsSync(join(root, target))) return [`${file} -> ${link}`]
        const isFound = fragment === undefined || fragmentsOf(read(target)).includes(fragment)
        return isFound ? [] : [`${file} -> ${link}`]
      })
    })
    expect(seen).toBeGreaterThan(5)
    expect(broken).toEqual([])
  })

  it('are named rightly where a comment names one', () => {
    const broken = typescript.flatMap((file) =>
      [...read(file).matchAll(/\bdocs\/[\w./-]+\.md\b/g)]
        .filter(([path]) => !existsSync(join(root, path)))
        .map(([path]) => `${file} -> ${path}`),
    )
    expect(broken).toEqual([])
  })
})
