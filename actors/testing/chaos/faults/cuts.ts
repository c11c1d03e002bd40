import type { Disturbance } from '../proxy.ts';
import { inTheMiddle } from '../scene.ts';
import type { Stage, Strike } from './fault.ts';

/** Ways to cut a process off a server, and how long. */
export type Cut = readonly [name: string, disturbance: Disturbance, lastsMs: number];

export const CUTS: readonly Cut[] = [
  ['reset', { kind: 'reset' }, 3000],
  ['black hole', { kind: 'hold', way: 'both' }, 9000],
  ['replies held', { kind: 'hold', way: 'replies' }, 9000],
  ['commands held', { kind: 'hold', way: 'commands' }, 9000],
  ['late by 300 ms, give or take 200', { kind: 'latency', ms: 300, jitterMs: 200 }, 6000],
  ['20 kB a second', { kind: 'bandwidth', bytesPerSecond: 20_000 }, 6000],
];
export const REPLIES_LOST: Cut = ['replies lost', { kind: 'lose-replies', rate: 0.02 }, 4000];

/** Cuts one node (every second time: all processes) off a server, each strike in the next way. */
export function cuts(server: 'redis' | 'postgres', ways: readonly Cut[]): (stage: Stage) => Promise<Strike> {
  return async (stage) => {
    const { clock, deviceIds, stack } = stage;
    const [name, disturbance, lastsMs] = ways[stage.turn % ways.length] ?? REPLIES_LOST;
    // a way that is played twice strikes the others the second time
    const one = (stage.turn + Math.floor(stage.turn / ways.length)) % 2 === 0 && ways.length > 1;
    const victims = one ? [stack.nodes[stage.turn % stack.nodes.length]?.id ?? ''] : [...stage.proxies.keys()];
    const { answered } = await inTheMiddle(stage, deviceIds);
    stage.say(`${server} of ${victims.join(', ')}: ${name} for ${lastsMs} ms`);
    const at = clock.wall();
    for (const victim of victims) stage.proxies.get(victim)?.[server]?.disturb(disturbance);
    await clock.sleep(lastsMs);
    for (const victim of victims) stage.proxies.get(victim)?.[server]?.disturb({ kind: 'none' });
    const healedAt = clock.wall();
    await answered;
    return { at, healedAt };
  };
}
