/** The code of an operation in ACLs; a set of them travels as the bits 1 << code. */
const AclOperation = {
  read: 3,
  write: 4,
  create: 5,
  delete: 6,
  alter: 7,
  describe: 8,
  clusterAction: 9,
  describeConfigs: 10,
  alterConfigs: 11,
  idempotentWrite: 12,
} as const

function bits(...operations: (keyof typeof AclOperation)[]): number {
  return operations.reduce((set, operation) => set | (1 << AclOperation[operation]), 0)
}

/** What everybody may do with a topic while there is no access control: all there is to do. */
export const topicOperations = bits(
  'read',
  'write',
  'create',
  'delete',
  'alter',
  'describe',
  'describeConfigs',
  'alterConfigs',
)
export const clusterOperations = bits(
  'create',
  'alter',
  'describe',
  'clusterAction',
  'describeConfigs',
  'alterConfigs',
  'idempotentWrite',
)
export const OPERATIONS_NOT_ASKED = -2147483648
