import { rmSync, writeFileSync } from 'node:fs';
import type { Fault, Stage } from './fault.ts';
import { ORDERED, versionFile } from './grounds.ts';

/** Two versions side by side, then back. Only the name of the version differs: what is tested is that nothing is moved in between. */
const MIXED_MS = 15_000;
const SETTLE_MS = 3000;
const NEXT = '0.2.0';

const epochs = async ({ ledger }: Stage): Promise<number> => (await ledger.owned()).reduce((sum, row) => sum + row.epoch, 0);

/** Gives nodes a version and starts them again, one after the other. */
async function become(
  stage: Stage,
  version: string | undefined,
  nodes: readonly (Stage['stack']['nodes'][number] | undefined)[],
): Promise<void> {
  for (const node of nodes) {
    if (node === undefined) continue;
    if (version === undefined) rmSync(versionFile(stage.folder, node.id), { force: true });
    else writeFileSync(versionFile(stage.folder, node.id), version);
    await node.restart();
    await stage.clock.sleep(1000);
  }
}

export const VERSIONS: Fault = {
  name: 'versions',
  case: '18',
  what: `one of three nodes is of another version for ${MIXED_MS / 1000} s (the case asks for 10 minutes), then all are, then all go back (a test build): nothing is moved while two run`,
  ground: ORDERED,
  strikes: 10,
  bounds: { fullRateMs: 10_000, figures: { movedWhileMixed: 0 } },
  async strike(stage) {
    const { clock, stack, say } = stage;
    const [first, ...others] = stack.nodes;
    const at = clock.wall();
    await become(stage, NEXT, [first]);
    await clock.sleep(SETTLE_MS);
    const before = await epochs(stage);
    await clock.sleep(MIXED_MS);
    const moved = (await epochs(stage)) - before;
    say(`${moved} moves while two versions ran`);
    await become(stage, NEXT, others);
    await become(stage, undefined, stack.nodes);
    return { at, healedAt: clock.wall(), figures: { movedWhileMixed: moved } };
  },
};
