export * from './group-metadata.ts'
export * from './offset-commit.ts'
export * from './transaction-log.ts'
