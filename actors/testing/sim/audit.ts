import type { Adoption, EpochPair, IntentItem, IntentVerdict, ResultItem, ResultOutcome } from '../../../schema/sql/index.ts';
import { isOpen, laneNumber, type Tables } from './ledger-rows.ts';
import type { RedisServer, Reply } from './redis-server.ts';

/**
 * Watches the stores from outside the models: what each fenced write was told, and whether it was right to be told so. It knows the rules from
 * the design, not from the scripts and statements, so a fault in those (planted or real) is seen here.
 *
 * Invariants (research/actors.md 5): I2 nothing is accepted under an epoch that is not the device's present one; I5 a message goes only when it
 * is the first open one of its lane; I9 a lease is renewed by its holder only; I11 a death counts against a device for a turn of the owner that died,
 * and once; and a bump wins only against the epoch that stands.
 */
export interface Audit {
  /** counted over the world */
  readonly figures: { fenced: number; unknowns: number; adopted: number; lostAnswers: number };
  intent(tables: Tables, items: readonly IntentItem[], run: () => IntentVerdict[]): IntentVerdict[];
  result(tables: Tables, items: readonly ResultItem[], run: () => ResultOutcome[]): ResultOutcome[];
  adopt(tables: Tables, pairs: readonly EpochPair[], run: () => Adoption['adopted']): Adoption['adopted'];
  bump<T extends { readonly deviceId: string; readonly epoch: number; readonly crashes: number }>(
    tables: Tables,
    pairs: readonly (EpochPair & { readonly crash: boolean })[],
    run: () => T[],
  ): T[];
  script(server: RedisServer, kind: string | undefined, keys: readonly string[], args: readonly string[], run: () => Reply): Reply;
}

const PROOFS: ReadonlySet<string> = new Set(['SENT', 'DELIVERED', 'READ']);

export function createAudit(violation: (invariant: string, what: string) => void): Audit {
  const figures = { fenced: 0, unknowns: 0, adopted: 0, lostAnswers: 0 };

  /** devices and epochs of a peek or refill, with the place of each in the answer */
  const asked = (kind: string, args: readonly string[]): { device: string; epoch: number }[] => {
    const list: { device: string; epoch: number }[] = [];
    let i = kind === 'peek' ? 3 : 2;
    while (i < args.length) {
      list.push({ device: args[i] ?? '', epoch: Number(args[i + 1]) });
      const parts = Number(args[i + 2]);
      i += 3;
      if (kind === 'peek') i += parts * 2;
      else for (let lane = 0; lane < parts; lane++) i += 6 + Number(args[i + 5]) * 3;
    }
    return list;
  };
  /** of a device, made once: it stays in its partition */
  const fenceKeys = new Map<string, string>();
  const fenceKeyOf = (base: string, device: string): string => {
    const known = fenceKeys.get(device);
    if (known !== undefined) return known;
    const key = `${base}d:${device}:fence`;
    fenceKeys.set(device, key);
    return key;
  };
  const mailboxScript = (server: RedisServer, kind: string, keys: readonly string[], args: readonly string[], run: () => Reply): Reply => {
    const base = (keys[0] ?? '').slice(0, -'generation'.length);
    const generation = server.peek(keys[0] ?? '');
    const known = generation?.type === 'string' && generation.text === args[0];
    const fences = asked(kind, args).map(({ device, epoch }) => {
      const fence = server.peek(fenceKeyOf(base, device));
      return { device, epoch, fence: fence?.type === 'string' ? Number(fence.text) : -1 };
    });
    const answer = run();
    const [status, words] = answer as unknown as readonly [string, Reply[]?];
    if (status === 'LOST') figures.lostAnswers += 1;
    else if (!known) violation('I2', `${kind} under a generation that is not the partition's`);
    else {
      fences.forEach(({ device, epoch, fence }, index) => {
        const word = words?.[index];
        if (word === 'FENCED') figures.fenced += 1;
        else if (word === 'LOST') figures.lostAnswers += 1;
        else if (fence !== epoch) violation('I2', `${kind} of ${device} accepted under epoch ${epoch}, fence ${fence}`);
      });
    }
    return answer;
  };

  /** whoever is told that a lease was kept held it: the fence hides most of what follows from another answer, not all of it */
  const renewScript = (server: RedisServer, keys: readonly string[], args: readonly string[], run: () => Reply): Reply => {
    if (args[1] === '0') return run();
    const base = (keys[0] ?? '').slice(0, -'generation'.length);
    const holders: (string | undefined)[] = [];
    for (let i = 3; i < args.length; i += 3) {
      const lease = server.peek(`${base}d:${args[i]}:lease`);
      holders.push(lease?.type === 'string' ? lease.text : undefined);
    }
    const answer = String(run());
    if (answer.startsWith('LOST')) return answer;
    holders.forEach((holder, index) => {
      const at = 3 + 3 * index;
      if (answer[index] === 'k' && holder !== args[at + 1])
        violation('I9', `a lease of ${args[at]} was renewed by one that did not hold it`);
    });
    return answer;
  };

  return {
    figures,
    intent(tables, items, run) {
      const before = items.map((item) => {
        const message = tables.messages.get(item.messageId);
        const lane = message === undefined ? undefined : tables.open.get(message.deviceId)?.[laneNumber(message.lane)];
        return { epoch: tables.ownership.get(item.deviceId)?.epoch, state: message?.state, first: lane?.[0] === message };
      });
      const verdicts = run();
      items.forEach((item, index) => {
        const verdict = verdicts[index]?.verdict;
        const was = before[index];
        if (verdict === 'FENCED') figures.fenced += 1;
        if (verdict !== 'PASS' && verdict !== 'DEAD' && verdict !== 'SUPPRESSED') return;
        if (was?.epoch !== item.epoch) violation('I2', `intent of ${item.deviceId} under epoch ${item.epoch}, present ${was?.epoch}`);
        if (was?.state !== 'QUEUED' && was?.state !== 'UNKNOWN') violation('I4', `intent of ${item.messageId} which was ${was?.state}`);
        if (was?.first !== true) violation('I5', `intent of ${item.messageId} before an earlier one of its lane`);
      });
      return verdicts;
    },
    result(tables, items, run) {
      const before = items.map((item) => {
        const message = tables.messages.get(item.messageId);
        return { epoch: message?.epoch, attempt: message?.attempt, open: message !== undefined && isOpen(message.state) };
      });
      const outcomes = run();
      items.forEach((item, index) => {
        const outcome = outcomes[index];
        const was = before[index];
        if (PROOFS.has(item.state)) return;
        if (outcome?.counted !== true) {
          if (was?.epoch !== item.epoch) figures.fenced += 1;
          return;
        }
        if (item.state === 'UNKNOWN') figures.unknowns += 1;
        if (was?.epoch !== item.epoch || was.attempt !== item.attempt) {
          violation('I2', `result of ${item.messageId} under (${item.epoch}, ${item.attempt}), present (${was?.epoch}, ${was?.attempt})`);
        }
        if (was?.open !== true) violation('I4', `result ${item.state} of ${item.messageId} which had ended`);
      });
      return outcomes;
    },
    adopt(tables, pairs, run) {
      const adopted = run();
      const epochs = new Map(pairs.map((pair) => [pair.deviceId, pair.epoch]));
      for (const message of adopted) {
        figures.adopted += 1;
        figures.unknowns += 1;
        const present = tables.ownership.get(message.deviceId)?.epoch;
        if (epochs.get(message.deviceId) !== present)
          violation('I2', `${message.id} adopted by an epoch that is not the present ${present}`);
      }
      return adopted;
    },
    bump(tables, pairs, run) {
      const before = new Map(
        pairs.map(({ deviceId, epoch, crash }) => {
          const owner = tables.ownership.get(deviceId);
          const sending = [...(tables.inFlight.get(deviceId) ?? [])].filter(({ state }) => state === 'SENDING');
          const struck = crash && sending.some((message) => message.epoch === owner?.epoch);
          return [deviceId, { read: epoch, stood: owner?.epoch, crashes: (owner?.crashes ?? 0) + (struck ? 1 : 0) }];
        }),
      );
      const won = run();
      for (const { deviceId, epoch, crashes } of won) {
        const was = before.get(deviceId);
        if (was?.stood !== was?.read || epoch !== (was?.stood ?? 0) + 1)
          violation('I2', `epoch of ${deviceId}: read ${was?.read}, stood ${was?.stood}, became ${epoch}`);
        if (crashes !== was?.crashes) violation('I11', `${deviceId}: ${crashes} deaths in a turn counted, there were ${was?.crashes}`);
      }
      return won;
    },
    script(server, kind, keys, args, run) {
      if (kind === 'renew') return renewScript(server, keys, args, run);
      return kind === 'peek' || kind === 'refill' ? mailboxScript(server, kind, keys, args, run) : run();
    },
  };
}
