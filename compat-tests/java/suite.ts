import { afterAll, beforeAll, describe } from 'vitest'
import { type BrokerUnderTest, describeBroker } from '../harness/index.ts'
import { javaMissing, ToolShell } from './tool-shell.ts'

/** A suite of Java programs with a broker and a machine to run them on; skipped with a reason where there is no JDK. */
export function describeJava(
  name: string,
  suite: (broker: BrokerUnderTest, shell: Pick<ToolShell, 'run'>) => void,
): void {
  const reason = javaMissing()
  describe.skipIf(reason !== null)(`${name}${reason === null ? '' : `: ${reason}`}`, () => {
    let shell: ToolShell | undefined
    beforeAll(async () => {
      shell = await ToolShell.start()
    })
    afterAll(() => shell?.stop())

    describeBroker('with a broker', {}, (broker) => suite(broker, { run: (...args) => shell!.run(...args) }))
  })
}
