import { afterAll, beforeAll, expect, it } from 'vitest';
import { deviceMarks, messagesInStates, setPaused, setQuarantine } from './index.ts';
import { createWorld, type World } from './test-world.ts';

/**
 * The story: a page of messages in a state that hardly any was in read all ten million of the tenant, and a page of devices in such a state read forty thousand
 * whole rows.
 */
let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

it('looks at so many messages for a page, and says where the next one goes on', async () => {
  const [one = '', two = ''] = await world.devices(2);
  const sent: { readonly id: string; readonly device: string }[] = [];
  for (let n = 0; n < 30; n++) {
    const device = n % 3 === 0 ? two : one;
    sent.push({ id: await world.send(device), device });
  }
  sent.sort((a, b) => (a.id < b.id ? 1 : -1));
  const failed = sent.filter((_, at) => at % 10 === 4);
  await world.sql.unsafe(`update messages set state = 'FAILED', ended_at = now() where id = any($1::uuid[])`, [failed.map(({ id }) => id)]);
  const walk = async (deviceId: string | undefined, look: number, limit: number, tenantId = world.tenantId) => {
    const found: string[] = [];
    let pages = 0;
    for (let before: string | null = null; ; pages++) {
      const { messages, until } = await messagesInStates(world.sql, {
        tenantId,
        deviceId,
        before,
        limit,
        look,
        states: ['FAILED', 'DEAD'],
      });
      expect(messages.length).toBeLessThanOrEqual(limit);
      found.push(...messages.map(({ id }) => id));
      const next = messages.length === limit ? (messages.at(-1)?.id ?? null) : until;
      if (next === null) return { found, pages: pages + 1 };
      before = next;
    }
  };
  const all = failed.map(({ id }) => id);
  // thirty looked at in sevens: four that say where to go on, and the rest
  expect(await walk(undefined, 7, 100)).toEqual({ found: all, pages: 5 });
  expect((await walk(undefined, 1, 1)).found).toEqual(all);
  expect(await walk(undefined, 100, 100)).toEqual({ found: all, pages: 1 });
  for (const device of [one, two]) {
    const own = failed.filter((message) => message.device === device).map(({ id }) => id);
    expect((await walk(device, 4, 2)).found).toEqual(own);
  }
  expect(await walk(undefined, 100, 100, await world.tenant())).toEqual({ found: [], pages: 1 });
  expect((await walk(one, 100, 100, await world.tenant())).found).toEqual([]);
});

it('tells of each device as much as a filter needs, so many at a time', async () => {
  const tenantId = await world.tenant();
  const ids = (await world.devices(25, { tenantId })).sort();
  const [first = '', second = '', third = ''] = ids;
  await setPaused(world.sql, tenantId, first, true, 'holiday');
  await setQuarantine(world.sql, second, 'poison');
  await world.sql.unsafe(`update devices set name = 'Ä, "quoted"', transport = 'link' where id = $1`, [third]);
  const ask = { after: null, transport: null, name: null, look: 10 };
  const seen: string[] = [];
  let pages = 0;
  for (let after: string | null = null; ; pages++) {
    const { marks, until } = await deviceMarks(world.sql, tenantId, { ...ask, after });
    seen.push(...marks.map(({ id }) => id));
    if (until === null) break;
    after = until;
  }
  expect({ seen, pages }).toEqual({ seen: ids, pages: 2 });
  const { marks } = await deviceMarks(world.sql, tenantId, { ...ask, name: 'device', look: 3 });
  expect(marks).toEqual([
    { id: first, paused: true, quarantined: false, name: `device ${first}` },
    { id: second, paused: false, quarantined: true, name: `device ${second}` },
    { id: third, paused: false, quarantined: false, name: 'Ä, "quoted"' },
  ]);
  // the third one's name is for the caller to judge
  expect((await deviceMarks(world.sql, tenantId, { ...ask, name: second, look: 3 })).marks.map(({ id }) => id)).toEqual([second, third]);
  // what does not fit was looked at all the same
  expect(await deviceMarks(world.sql, tenantId, { ...ask, transport: 'link', look: 2 })).toEqual({ marks: [], until: second });
  expect((await deviceMarks(world.sql, tenantId, { ...ask, transport: 'link', look: 100 })).marks.map(({ id }) => id)).toEqual([third]);
  expect(await deviceMarks(world.sql, await world.tenant(), ask)).toEqual({ marks: [], until: null });
});
