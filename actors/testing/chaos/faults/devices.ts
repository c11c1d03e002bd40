import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { controlPhones } from '../../../transports/simulator/index.ts';
import { askAgain, until } from '../scene.ts';
import type { Fault, Stage, Strike } from './fault.ts';
import { ORDERED, QUICK_RETRIES } from './grounds.ts';
import { DEADLY, ENDLESS, type Orders, order } from './orders.ts';

/** Faults of doorbells, phones and messages. */
const STEADY_MS = 8000;

const bells = (name: string, what: string, orders: Orders): Fault => ({
  name,
  case: '12',
  what,
  ground: ORDERED,
  strikes: 10,
  // SWEEP_MS as shipped, and a second
  bounds: { latencyP99Ms: 3000 },
  async strike({ clock, stack, folder }) {
    const at = clock.wall();
    order(folder, stack.nodes, orders);
    await clock.sleep(STEADY_MS);
    order(folder, stack.nodes, {});
    return { at, healedAt: clock.wall() };
  },
});
export const BELLS_LOST = bells('bells-lost', 'no node hears a doorbell (a test build): sweeps must find the work', { deaf: 1 });
export const BELLS_HALF_LOST = bells('bells-half-lost', 'half of the doorbells lost (a test build)', { deaf: 0.5 });
export const BELLS_TENFOLD = bells('bells-tenfold', 'each doorbell of work heard ten times (a test build)', { echo: 10 });

export const POISON: Fault = {
  name: 'poison',
  case: '14',
  what: 'one phone never acknowledges, one refuses everything, one never connects: the other devices do not notice',
  ground: ORDERED,
  strikes: 10,
  bounds: { latencyP99Ms: 2000 },
  async strike({ clock, stack, deviceIds, say }) {
    const phones = await controlPhones(`tcp://127.0.0.1:${stack.phones?.port ?? 0}`);
    const [silent = '', refusing = '', away = ''] = deviceIds;
    const at = clock.wall();
    await phones.fault({ kind: 'lost-ack', device: silent });
    await phones.fault({ kind: 'reject', device: refusing, retry: true });
    await phones.fault({ kind: 'never-connect', device: away });
    await phones.dropNow(away);
    await clock.sleep(STEADY_MS);
    const { rejected } = await phones.clear();
    phones.close();
    say(`${rejected} sends refused`);
    return { at, healedAt: clock.wall(), spared: [silent, refusing, away], figures: { rejected } };
  },
};

const BUDGET = Number(QUICK_RETRIES.RETRY_BUDGET);
const LOOK = 'query($id: ID!) { message(id: $id) { state device { state } } }';
const SEND = 'mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } errors { code message } } }';
const RELEASE = 'mutation($id: ID!) { releaseDevice(input: { deviceId: $id }) { errors { code message } } }';
/** As a patient probe: a busy machine is slow, not dead. */
const LIVE_TIMEOUT_MS = 5000;

/** Ends nodes that do not answer, as an orchestrator's probe does, and starts those that have ended. @returns how many began anew */
async function revive({ stack, say }: Stage): Promise<number> {
  const answers = async (url: string): Promise<boolean> =>
    fetch(`${url}/live`, { signal: AbortSignal.timeout(LIVE_TIMEOUT_MS) }).then(
      () => true,
      () => false,
    );
  const over = await Promise.all(
    stack.nodes.map(async (node) => {
      if (node.running() && (await answers(node.metricsUrl))) return 0;
      if (node.running()) {
        say(`${node.id} hangs`);
        node.kill('SIGKILL');
      } else say(`${node.id} died`);
      await node.restart();
      return 1;
    }),
  );
  return over.reduce<number>((sum, one) => sum + one, 0);
}

async function poisonNode(stage: Stage, to: string): Promise<Strike> {
  const { clock, stack, deviceIds, ledger, say, turn } = stage;
  const victim = deviceIds[turn] ?? '';
  const at = clock.wall();
  const api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
  const sent = await askAgain<{ sendMessage: { message: { id: string } | null } }>(clock, api, SEND, {
    input: { deviceId: victim, to, body: 'poison' },
  });
  const id = sent.sendMessage.message?.id;
  if (id === undefined) throw new Error('the poison was not accepted');
  let nodeDeaths = 0;
  const look = () => askAgain<{ message: { state: string; device: { state: string } } }>(clock, api, LOOK, { id });
  const ended = (state: string): boolean => !['QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN'].includes(state);
  let quarantined = 0;
  await until(clock, 90_000, async () => {
    nodeDeaths += await revive(stage);
    const { message } = await look();
    quarantined = message.device.state === 'QUARANTINED' ? 1 : 0;
    return quarantined === 1 || ended(message.state);
  });
  say(quarantined === 1 ? `quarantined after ${nodeDeaths} deaths, now released` : 'not quarantined');
  if (quarantined === 1) await askAgain(clock, api, RELEASE, { id: victim });
  const over = await until(clock, 90_000, async () => {
    nodeDeaths += await revive(stage);
    return ended((await look()).message.state);
  });
  // devices that were in the middle of a turn at every one of the deaths, as the poisoned one was: the operator releases them too
  const bystanders = (await ledger.quarantined()).filter((id) => id !== victim);
  for (const id of bystanders) await askAgain(clock, api, RELEASE, { id });
  if (bystanders.length > 0) say(`${bystanders.length} bystanders were quarantined, now released`);
  return {
    at,
    healedAt: clock.wall(),
    spared: [victim],
    figures: { nodeDeaths, quarantined, bystanders: bystanders.length, poisonLeft: over ? 0 : 1 },
  };
}

export const POISON_NODE: Fault = {
  name: 'poison-node',
  case: '14',
  what: 'a message that ends the process that sends it (a test build): the device is quarantined after three deaths, an operator releases it, the message ends by its budget',
  ground: ORDERED,
  strikes: 10,
  bounds: { figures: { nodeDeaths: BUDGET + 1, poisonLeft: 0 } },
  strike: (stage) => poisonNode(stage, DEADLY),
};

export const POISON_LOOP: Fault = {
  name: 'poison-loop',
  case: '14',
  what: 'a message that never lets its process go on (a test build): the hung node loses its leases, a probe ends it, then as above',
  ground: ORDERED,
  strikes: 10,
  bounds: { figures: { nodeDeaths: BUDGET + 1, poisonLeft: 0 } },
  strike: (stage) => poisonNode(stage, ENDLESS),
};

const WEDGED_WAIT_MS = 30_000;
/** A move that was said before the owners were read may be made after it. */
const BEFORE_MS = 2000;

/** How many devices nodes moved for balance since this wall ms, by their own logs. */
function movedForBalance({ folder, stack }: Stage, since: number): number {
  const lines = stack.nodes.flatMap(({ name }) => readFileSync(join(folder, 'data', 'logs', `${name}.log`), 'utf8').split('\n'));
  let moved = 0;
  for (const line of lines) {
    if (!line.includes('"placement.moves"')) continue;
    const { at, devices } = JSON.parse(line) as { readonly at: string; readonly devices: number };
    if (Date.parse(at) >= since) moved += devices;
  }
  return moved;
}

export const WEDGED_ACTOR: Fault = {
  name: 'wedged-actor',
  case: '4',
  what: 'one turn of one device never ends (a test build whose limit of a turn is 4 s): that device alone is given up and served elsewhere (others move only for balance)',
  ground: ORDERED,
  strikes: 10,
  bounds: { latencyP99Ms: 2000, figures: { notGivenUp: 0, othersMoved: 0 } },
  async strike(stage) {
    const { clock, stack, deviceIds, folder, ledger, sender, say, turn } = stage;
    const victim = deviceIds[deviceIds.length - 1 - turn] ?? '';
    const before = new Map((await ledger.owned()).map((row) => [row.deviceId, row]));
    const owner = stack.nodes.find((node) => node.id === before.get(victim)?.node);
    if (owner === undefined) throw new Error('the victim has no owner');
    const at = clock.wall();
    order(folder, [owner], { wedge: victim });
    await sender.burst([victim], 1);
    const epochOf = async (): Promise<number> => (await ledger.owned()).find((row) => row.deviceId === victim)?.epoch ?? 0;
    const givenUp = await until(clock, WEDGED_WAIT_MS, async () => (await epochOf()) > (before.get(victim)?.epoch ?? 0));
    say(givenUp ? `given up after ${clock.wall() - at} ms` : 'not given up');
    order(folder, [owner], {});
    const others = (await ledger.owned()).filter((row) => row.deviceId !== victim && before.get(row.deviceId)?.epoch !== row.epoch).length;
    // handed over in good order, as at any time
    const balanced = movedForBalance(stage, at - BEFORE_MS);
    const othersMoved = Math.max(0, others - balanced);
    if (others > 0) say(`${others} others moved, ${balanced} of them for balance`);
    return { at, healedAt: clock.wall(), figures: { notGivenUp: givenUp ? 0 : 1, othersMoved } };
  },
};

export const DEVICE_FAULTS: readonly Fault[] = [BELLS_LOST, BELLS_HALF_LOST, BELLS_TENFOLD, WEDGED_ACTOR, POISON, POISON_NODE, POISON_LOOP];
