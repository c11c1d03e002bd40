import { connectRedis } from '../../../../ops/connect/index.ts';
import { type Clock, type Dice, seededDice } from '../../../../ops/lifecycle/index.ts';
import type { Api, Stack, StackNode } from '../../../../ops/start/index.ts';
import { createJudge, readArrivals, type Verdict } from '../../checker/index.ts';
import { arrivalsOf, onStack, until } from '../scene.ts';
import { createFlowCheck, type FlowPlan, type FlowVerdict } from './check.ts';
import { type CampaignView, command, type MadeFlow, makeDevices, makeFlow, makeLeads, phoneOf, saysStop, viewCampaign } from './world.ts';

/**
 * One campaign run: a campaign, a chain of two sequences and a campaign that is called off, all to everybody, at the devices' own pace, while a node
 * is killed, another is stopped for longer than its lease, all of Redis is lost, people say stop, and a campaign is held and let go on. Then
 * both judges. Owns the stack and its folder.
 */
export interface CampaignOptions {
  readonly distDir: string;
  readonly devices: number;
  readonly leads: number;
  readonly seed: number;
  readonly settleMs: number;
  readonly keep: boolean;
  readonly say: (line: string) => void;
}
export interface CampaignResult {
  readonly verdict: Verdict;
  readonly flows: FlowVerdict;
  /** from the answer of pauseCampaign and of cancelCampaign to the last send of it; 0 = none came later */
  readonly lastAfterPauseMs: number;
  readonly lastAfterCancelMs: number;
  /** sends after the last strike, and of the held campaign after it went on: a strike at a load that is over proves nothing */
  readonly afterLastStrike: number;
  readonly afterResume: number;
  /** sends of the campaigns that were held and called off in the seconds before */
  readonly beforePause: number;
  readonly beforeCancel: number;
  /** leads that the campaign that was called off had not written to */
  readonly calledOffLeft: number;
  readonly drained: boolean;
  readonly devicesBelowCap: number;
  readonly tookMs: number;
  readonly folder: string | undefined;
}

const PACE = { minMs: 400, maxMs: 800 };
const CAP = 20;
const CAPPED_SHARE = 0.1;
/** who said stop before the start, and in the middle: of a hundred leads */
const STOPPED_BEFORE = 3;
const STOPPED_AMID = 5;
/** a send that had its leave: the wait of a statement, the way to the phone, a node that stood still in between and sends nothing any more */
const STOP_GRACE_MS = 5000;
const STOPPED_NODE_MS = 10_000;
const SHORTLY_MS = 8000;

interface Play {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly stack: Stack;
  readonly api: Api;
  readonly view: CampaignView;
  readonly options: CampaignOptions;
}
interface Flows {
  readonly campaign: MadeFlow;
  readonly calledOff: MadeFlow;
  readonly cold: MadeFlow;
  readonly warm: MadeFlow;
}
interface Times {
  readonly pausedAt: number;
  readonly resumedAt: number;
  readonly cancelledAt: number;
}

/** The campaign that is called off has some devices of its own to begin with, so that it and the one that is held are both under way when they are stopped. */
async function makeFlows({ clock, api }: Play, deviceIds: readonly string[]): Promise<Flows> {
  const warm = await makeFlow(clock, api, 'Sequence', 'steps: [{delayMs: 500, template: "warm {{phone}}"}]', 'warm');
  const steps = '[{delayMs: 0, template: "cold 1 {{phone}}"}, {delayMs: 1500, template: "cold 2 {{phone}}"}]';
  const cold = await makeFlow(clock, api, 'Sequence', `steps: ${steps}, audience: {}, nextSequenceId: "${warm.id}"`, 'cold');
  const campaign = await makeFlow(clock, api, 'Campaign', 'template: "Hi {{first_name|there}}"', 'campaign');
  const some = JSON.stringify(deviceIds.map((id) => `Device:${id}`));
  const calledOff = await makeFlow(clock, api, 'Campaign', `template: "never mind, {{name}}", deviceIds: ${some}`, 'called off');
  return { campaign, calledOff, cold, warm };
}

async function flushRedis({ stack, options }: Play): Promise<void> {
  const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'chaos' });
  try {
    await redis.flushall();
    options.say('FLUSHALL');
  } finally {
    redis.disconnect();
  }
}

/** A moment that differs from seed to seed. */
const rest = ({ clock, dice }: Play, ms: number): Promise<void> => clock.sleep(ms * (0.5 + dice.next()));

async function faults(play: Play, flows: Flows, stops: Map<string, number>): Promise<Times> {
  const { clock, api, stack, options, dice } = play;
  const nodes = [...stack.nodes].sort(() => dice.next() - 0.5);
  const [first, second] = nodes as [StackNode, StackNode];
  await rest(play, 4000);
  first.kill('SIGKILL');
  options.say(`SIGKILL ${first.id}`);
  await rest(play, 8000);
  await first.restart();
  options.say(`${first.id} runs again`);
  const late = Array.from({ length: options.leads }, (_, n) => n).filter(
    (n) => n % 100 >= STOPPED_BEFORE && n % 100 < STOPPED_BEFORE + STOPPED_AMID,
  );
  // while the faults strike; a run that breaks off in between must not end the process through this promise as well
  const saying = saysStop(clock, api, late.map(phoneOf));
  saying.catch(() => {});
  second.kill('SIGSTOP');
  options.say(`SIGSTOP ${second.id}`);
  await clock.sleep(STOPPED_NODE_MS);
  second.kill('SIGCONT');
  options.say(`SIGCONT ${second.id}`);
  const pausedAt = await command(clock, api, 'pause', flows.campaign);
  options.say('the campaign is held');
  await clock.sleep(4000);
  await flushRedis(play);
  await clock.sleep(2000);
  const resumedAt = clock.wall();
  await command(clock, api, 'resume', flows.campaign);
  await rest(play, 4000);
  const cancelledAt = await command(clock, api, 'cancel', flows.calledOff);
  options.say('the other campaign is called off');
  first.kill('SIGKILL');
  await flushRedis(play);
  options.say(`SIGKILL ${first.id} and FLUSHALL at once`);
  await rest(play, 8000);
  await first.restart();
  for (const [phone, at] of await saying) stops.set(phone, at);
  options.say(`${late.length} people had said stop meanwhile`);
  return { pausedAt, resumedAt, cancelledAt };
}

async function drained({ clock, view, options }: Play): Promise<boolean> {
  let said = clock.monotonic();
  return until(clock, options.settleMs, async () => {
    const { leftOver, belowCap } = await view.unfinished();
    if (clock.monotonic() - said > 5000) {
      said = clock.monotonic();
      options.say(`${leftOver} left over, ${belowCap} devices below their cap`);
    }
    return leftOver === 0 && belowCap === 0;
  });
}

async function plansOf({ view }: Play, flows: Flows): Promise<readonly FlowPlan[]> {
  const [campaign, calledOff, cold, warm] = await Promise.all([flows.campaign, flows.calledOff, flows.cold, flows.warm].map(view.flowNo));
  const whole = { everybody: true, next: null, cancelled: false };
  return [
    { ...whole, no: campaign ?? 0, steps: 1 },
    { ...whole, no: calledOff ?? 0, steps: 1, cancelled: true },
    { ...whole, no: cold ?? 0, steps: 2, next: warm ?? 0 },
    { ...whole, no: warm ?? 0, steps: 1, everybody: false },
  ];
}

async function judge(
  play: Play,
  folder: string,
  flows: Flows,
  caps: ReadonlyMap<string, number>,
  stops: ReadonlyMap<string, number>,
  times: Times,
) {
  const { view } = play;
  const plans = await plansOf(play, flows);
  const check = createFlowCheck({ flows: plans, caps, paceMinMs: PACE.minMs, stops, stopGraceMs: STOP_GRACE_MS });
  const judged = createJudge();
  const flowOf = new Map<string, number>();
  const waiting = new Set<string>();
  await view.leads(check.lead);
  await view.messages((row) => {
    check.message(row);
    if (row.flow !== null) flowOf.set(row.id, row.flow);
    // a device at its cap keeps its queue for tomorrow
    if (row.state === 'QUEUED' && caps.has(row.device)) waiting.add(row.id);
    else judged.ledger(row);
  });
  await view.enrolments(check.enrolment);
  let [lastAfterPauseMs, lastAfterCancelMs, afterLastStrike, afterResume, calledOff] = [0, 0, 0, 0, 0];
  let [beforePause, beforeCancel] = [0, 0];
  const shortlyBefore = (at: number, moment: number): boolean => at <= moment && at > moment - SHORTLY_MS;
  for await (const arrival of readArrivals(arrivalsOf(folder))) {
    if (!waiting.has(arrival.id)) judged.arrival(arrival);
    check.arrival(arrival);
    const flow = flowOf.get(arrival.id);
    if (arrival.repeat) continue;
    if (arrival.at > times.cancelledAt) afterLastStrike += 1;
    if (flow === plans[0]?.no && arrival.at > times.resumedAt) afterResume += 1;
    if (flow === plans[1]?.no) calledOff += 1;
    if (flow === plans[0]?.no && shortlyBefore(arrival.at, times.pausedAt)) beforePause += 1;
    if (flow === plans[1]?.no && shortlyBefore(arrival.at, times.cancelledAt)) beforeCancel += 1;
    if (flow === plans[0]?.no && arrival.at < times.resumedAt) lastAfterPauseMs = Math.max(lastAfterPauseMs, arrival.at - times.pausedAt);
    if (flow === plans[1]?.no) lastAfterCancelMs = Math.max(lastAfterCancelMs, arrival.at - times.cancelledAt);
  }
  const calledOffLeft = play.options.leads - calledOff;
  return {
    verdict: judged.verdict(),
    flows: check.verdict(),
    lastAfterPauseMs,
    lastAfterCancelMs,
    afterLastStrike,
    afterResume,
    beforePause,
    beforeCancel,
    calledOffLeft,
  };
}

async function playOn(play: Play, folder: string): Promise<Omit<CampaignResult, 'tookMs' | 'folder'>> {
  const { clock, api, options, view } = play;
  const caps = await makeDevices(clock, api, {
    devices: options.devices,
    capped: Math.max(1, Math.round(options.devices * CAPPED_SHARE)),
    cap: CAP,
    pace: PACE,
  });
  await makeLeads(api, options.leads);
  const early = Array.from({ length: options.leads }, (_, n) => n).filter((n) => n % 100 < STOPPED_BEFORE);
  const stops = new Map(await saysStop(clock, api, early.map(phoneOf)));
  options.say(`${options.devices} devices, ${caps.size} of them with a cap, ${options.leads} leads, ${stops.size} of them had said stop`);
  const flows = await makeFlows(play, (await view.deviceIds()).filter((id) => !caps.has(id)).slice(0, Math.floor(options.devices / 3)));
  for (const flow of [flows.calledOff, flows.warm, flows.cold, flows.campaign]) await command(clock, api, 'start', flow);
  options.say('campaigns and sequences run');
  const times = await faults(play, flows, stops);
  const done = await drained(play);
  // whatever is still on its way would be a late stale send
  await clock.sleep(1500);
  const { belowCap } = await view.unfinished();
  return { ...(await judge(play, folder, flows, caps, stops, times)), drained: done, devicesBelowCap: belowCap };
}

/** @throws Error when the run could not be made; what the judges find is in the result */
export async function runCampaign(clock: Clock, options: CampaignOptions): Promise<CampaignResult> {
  const began = clock.monotonic();
  const { result, folder } = await onStack(
    (home) => ({
      dataDir: `${home}/data`,
      distDir: options.distDir,
      nodes: 3,
      gateways: 1,
      phones: { arrivals: arrivalsOf(home), args: ['--seed', String(options.seed), '--latency', '5-40'] },
      env: { PACING: 'on', LEASE_TTL_MS: '6000' },
    }),
    async (stack, home) => {
      const view = viewCampaign(stack);
      try {
        const api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
        return await playOn({ clock, dice: seededDice(options.seed), stack, api, view, options }, home);
      } finally {
        await view.close();
      }
    },
    ({ drained: done, verdict, flows }) => done && verdict.examples.length + flows.examples.length === 0 && !options.keep,
  );
  return { ...result, tookMs: clock.monotonic() - began, folder };
}
