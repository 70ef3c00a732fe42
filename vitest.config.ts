import { defineConfig } from 'vitest/config'

const conditions = ['source']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{native,protocol,broker,streams,scripts,bench/measure}/**/*.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'compat',
          include: ['compat-tests/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'bench',
          include: ['bench/*.test.ts'],
          testTimeout: 180_000,
          fileParallelism: false,
          // It compares what records cost, so it has the machine to itself, after the others.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
