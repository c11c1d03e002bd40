import { ask } from '../../../../ops/start/index.ts';
import { controlPhones } from '../../../transports/simulator/index.ts';
import { until } from '../scene.ts';
import type { Fault } from './fault.ts';
import { DEADLY, DEAF, MORTAL } from './orders.ts';

/** Faults of doorbells, phones and messages. */
const QUICK_RETRIES = { SEND_TIMEOUT_MS: '1000', RETRY_BASE_MS: '100', RETRY_CAP_MS: '500', RETRY_BUDGET: '3' };
const STEADY_MS = 8000;

const deaf = (loss: '1' | '0.5'): Fault => ({
  name: loss === '1' ? 'bells-lost' : 'bells-half-lost',
  what: `${Number(loss) * 100} % of the doorbells lost (a test build): sweeps must find the work`,
  needs: { swaps: [DEAF], env: { CHAOS_BELL_LOSS: loss } },
  // SWEEP_MS as shipped, and a second
  bounds: { latencyP99Ms: 3000 },
  async strike({ clock }) {
    const at = clock.wall();
    await clock.sleep(STEADY_MS);
    return { at, healedAt: clock.wall() };
  },
});
export const BELLS_LOST = deaf('1');
export const BELLS_HALF_LOST = deaf('0.5');

export const POISON: Fault = {
  name: 'poison',
  what: 'one phone never acknowledges, one refuses everything, one never connects: the other devices do not notice',
  needs: { env: QUICK_RETRIES },
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

export const POISON_NODE: Fault = {
  name: 'poison-node',
  what: 'a message that ends the process that sends it (a test build): the device is quarantined after three deaths, an operator releases it, the message ends by its budget',
  needs: { swaps: [MORTAL], env: QUICK_RETRIES },
  bounds: { figures: { nodeDeaths: BUDGET + 1, poisonLeft: 0 } },
  async strike({ clock, stack, deviceIds, say }) {
    const [victim = ''] = deviceIds;
    const at = clock.wall();
    const api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
    const query = `mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } errors { code message } } }`;
    const sent = await ask<{ sendMessage: { message: { id: string } | null } }>(api, query, {
      input: { deviceId: victim, to: DEADLY, body: 'poison' },
    });
    const id = sent.sendMessage.message?.id;
    if (id === undefined) throw new Error('the poison was not accepted');
    let nodeDeaths = 0;
    const look = () =>
      ask<{ message: { state: string; device: { state: string } } }>(
        api,
        'query($id: ID!) { message(id: $id) { state device { state } } }',
        {
          id,
        },
      );
    const revive = async (): Promise<void> => {
      for (const node of stack.nodes.filter((entry) => !entry.running())) {
        nodeDeaths += 1;
        say(`${node.id} died (${nodeDeaths})`);
        await node.restart();
      }
    };
    const ended = (state: string): boolean => !['QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN'].includes(state);
    let quarantined = 0;
    await until(clock, 60_000, async () => {
      await revive();
      const { message } = await look();
      quarantined = message.device.state === 'QUARANTINED' ? 1 : 0;
      return quarantined === 1 || ended(message.state);
    });
    say(quarantined === 1 ? `quarantined after ${nodeDeaths} deaths, now released` : 'not quarantined');
    const release = 'mutation($id: ID!) { releaseDevice(input: { deviceId: $id }) { errors { code message } } }';
    if (quarantined === 1) await ask(api, release, { id: victim });
    const over = await until(clock, 60_000, async () => {
      await revive();
      return ended((await look()).message.state);
    });
    return { at, healedAt: clock.wall(), spared: [victim], figures: { nodeDeaths, quarantined, poisonLeft: over ? 0 : 1 } };
  },
};
