import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, seededDice } from '../../../ops/lifecycle/index.ts';
import { type Takeover, type Verdict, watchTakeover } from '../checker/index.ts';
import { flushStanding } from './flush.ts';
import { KILL_FILE } from './plants.ts';
import { arrivalsOf, drain, judge, onStack, playOn, type Scene, type Struck, strikeNodes, takenOver, until } from './scene.ts';

/**
 * One run of the smoke: a stack of its own, traffic, four faults in a row, and the judgement. Owns the stack and its folder.
 * The faults strike right after a burst to every device concerned, so that most of them are in the middle of a turn.
 */
export interface SmokeOptions {
  readonly distDir: string;
  readonly messages: number;
  readonly devices: number;
  readonly seed: number;
  readonly leaseTtlMs: number;
  readonly stopMs: number;
  /** longest wait for the last message to end */
  readonly settleMs: number;
  /** keep logs, ledger and arrivals; always kept when the verdict finds something */
  readonly keep: boolean;
  readonly say: (line: string) => void;
}

export interface SmokeResult {
  readonly verdict: Verdict;
  /** open attempts at the moments of the faults: as many repeats are allowed */
  readonly inFlightAtFaults: number;
  readonly killed: Takeover;
  readonly stopped: Takeover;
  readonly gatewayDied: boolean;
  readonly apiRetries: number;
  readonly drained: boolean;
  readonly tookMs: number;
  readonly folder: string | undefined;
}

interface SmokeScene extends Scene {
  readonly options: SmokeOptions;
  readonly killFile: string;
}

async function killGateway(scene: SmokeScene): Promise<boolean> {
  const { clock, stack, options } = scene;
  const running = stack.gateways.filter((gateway) => gateway.running());
  writeFileSync(scene.killFile, '');
  const dead = await until(clock, 15_000, () => running.some((gateway) => !gateway.running()));
  const gateway = running.find((entry) => !entry.running());
  options.say(dead ? `${gateway?.name} died between commit and enqueue` : 'no gateway died');
  if (!dead) rmSync(scene.killFile, { force: true });
  await clock.sleep(1000);
  await gateway?.restart();
  return dead;
}

async function faults(scene: SmokeScene): Promise<{ killed: Struck; stopped: Struck; flushed: number; gatewayDied: boolean }> {
  const { clock, stack, sender, options, dice } = scene;
  const [first, second] = dice.next() < 0.5 ? [stack.nodes[0], stack.nodes[1]] : [stack.nodes[1], stack.nodes[0]];
  if (first === undefined || second === undefined) throw new Error('the smoke needs two nodes');
  await clock.sleep(4000);

  const killed = await strikeNodes(scene, [first], 'SIGKILL');
  await takenOver(scene, killed, options.leaseTtlMs * 3);
  await clock.sleep(2000);
  const gatewayDied = await killGateway(scene);
  await first.restart();
  options.say(`${first.id} runs again`);
  await clock.sleep(3000);

  const stopped = await strikeNodes(scene, [second], 'SIGSTOP');
  await clock.sleep(Math.max(0, stopped.at + options.stopMs - clock.wall()));
  second.kill('SIGCONT');
  options.say(`SIGCONT ${second.id} after ${clock.wall() - stopped.at} ms`);
  await takenOver(scene, stopped, options.leaseTtlMs * 2);
  await clock.sleep(3000);

  const flushed = await flushStanding(scene);
  await clock.sleep(2000);
  sender.rate(0);
  return { killed, stopped, flushed, gatewayDied };
}

async function play(scene: SmokeScene): Promise<Omit<SmokeResult, 'tookMs' | 'folder'>> {
  const { clock, sender, options } = scene;
  sender.rate(Math.max(5, (options.messages * 0.45) / 50));
  const { killed, stopped, flushed, gatewayDied } = await faults(scene);
  options.say(`${sender.made} messages so far, now the rest`);
  await sender.finish();
  const drained = await drain(scene, options.settleMs);
  // nothing may arrive after this: whatever is still on its way would be a late stale send
  await clock.sleep(1000);
  const killWatch = watchTakeover(killed.owned, killed.at);
  const stopWatch = watchTakeover(stopped.owned, stopped.at);
  const verdict = await judge(scene, [killWatch, stopWatch]);
  return {
    verdict,
    inFlightAtFaults: killed.inFlight + stopped.inFlight + flushed,
    killed: killWatch.result(),
    stopped: stopWatch.result(),
    gatewayDied,
    apiRetries: sender.retries,
    drained,
  };
}

/** @throws Error when the run could not be made; what the judge finds is in the result */
export async function runSmoke(clock: Clock, options: SmokeOptions): Promise<SmokeResult> {
  const began = clock.monotonic();
  const { seed, devices, messages, say } = options;
  const burst = Math.min(8, Math.max(1, Math.floor((messages * 0.1) / devices)));
  const { result, folder } = await onStack(
    (home) => ({
      dataDir: join(home, 'data'),
      distDir: options.distDir,
      nodes: 2,
      gateways: 2,
      phones: { arrivals: arrivalsOf(home), args: ['--seed', String(seed), '--latency', '5-40'] },
      env: { PACING: 'off', LEASE_TTL_MS: String(options.leaseTtlMs), [KILL_FILE]: join(home, 'kill-gateway') },
    }),
    (stack, home) =>
      playOn({ clock, dice: seededDice(seed) }, stack, home, { seed, devices, messages, burst, say }, (scene) =>
        play({ ...scene, options, killFile: join(home, 'kill-gateway') }),
      ),
    ({ drained, verdict }) => drained && verdict.examples.length === 0 && !options.keep,
  );
  return { ...result, tookMs: clock.monotonic() - began, folder };
}
