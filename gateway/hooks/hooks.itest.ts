import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_KEY, type Data, headersOf, startTestGateway, type TestGateway } from '../gateway.testing.ts';

/** Hooks that other systems call, through a whole gateway, over the wire. */
let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway.stop());

const ask = (query: string): Promise<Data> => gateway.ask(query);
const keyOf = (scope: string): Promise<string> => gateway.keyOf(scope);
const call = async (name: string, body: unknown, key = ADMIN_KEY): Promise<{ readonly status: number; readonly body: Data }> => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await fetch(`${gateway.base}/api/hooks/${name}`, { method: 'POST', headers: headersOf({ key }), body: text });
  const said = await answer.text();
  return { status: answer.status, body: said.startsWith('{') ? JSON.parse(said) : said };
};

describe('a hook', () => {
  it('writes the lead down and brings it into the sequences that listen, once; nobody else', async () => {
    await ask('mutation { createDevice(input: {name: "d", transport: SIMULATOR}) { errors { code } } }');
    const { data } = await ask(
      `mutation { createSequence(input: {name: "orders", steps: [{delayMs: 3600000, template: "thanks, order {{order}}"}], triggers: [{kind: WEBHOOK, value: "order"}]}) { sequence { id } } }`,
    );
    const id = data.createSequence.sequence.id as string;
    const lead = { phone: '+491701234567', name: 'Ann', tags: ['buyer'], order: 17 };
    expect((await call('order', lead)).status).toBe(404);
    await ask(`mutation { startSequence(input: {id: "${id}"}) { errors { code } } }`);
    const sender = await keyOf('SENDER');
    expect(await call('order', lead, sender)).toEqual({ status: 200, body: { leads: 1, made: 1, enrolled: 1 } });
    expect(await call('order', { leads: [lead, { phone: '+491701234568' }] }, sender)).toEqual({
      status: 200,
      body: { leads: 2, made: 1, enrolled: 1 },
    });
    expect((await ask(`{ sequence(id: "${id}") { progress { place leads } } }`)).data.sequence.progress).toEqual([
      { place: 'WAITING', leads: 2 },
    ]);
    const { data: known } = await ask('{ leads(tag: "buyer") { nodes { name attributes } } }');
    expect(known.leads.nodes).toEqual([{ name: 'Ann', attributes: '{"order":"17"}' }]);
    expect(await call('nobody-listens', lead)).toMatchObject({ status: 404 });
    await expect
      .poll(async () => (await ask('{ audit(subject: "order") { nodes { action } } }')).data.audit.nodes, { timeout: 25_000 })
      .toContainEqual({ action: 'callHook' });
  });

  it('names what is wrong, and asks for a key that may send', async () => {
    const wrong = async (body: unknown): Promise<string> => {
      const answer = await call('order', body);
      expect(answer.status).toBe(400);
      return JSON.stringify(answer.body);
    };
    expect(await wrong('{')).toContain('expected JSON');
    expect(await wrong('[]')).toContain('expected a JSON object');
    expect(await wrong({ phone: '123' })).toContain('phone: ');
    expect(await wrong({ name: 'x' })).toContain('phone: ');
    expect(await wrong({ leads: 'x' })).toContain('leads: expected a list');
    expect(await wrong({ leads: [] })).toContain('leads: expected a list');
    expect(await wrong({ leads: [{ phone: '+491701234567' }, { phone: '+491701234568', tags: 7 }] })).toContain('leads.1.tags: ');
    expect(await wrong({ phone: '+491701234567', consentAt: 'soon' })).toContain('consentAt: ');
    expect((await call('Order Placed', {})).status).toBe(404);
    expect((await call('order', {}, 'flk_nobody')).status).toBe(401);
    expect((await call('order', {}, await keyOf('VIEWER'))).status).toBe(403);
  });
});
