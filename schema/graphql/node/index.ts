import type { Kit } from '../builder.ts';
import type { NodeProblem, NodeRow } from '../context.ts';
import { attempt, problem, Refusal, type Refused, type UserErrorShape } from '../problems.ts';

type NodeAnswer = ({ readonly node: NodeRow } & Refused) | Refused;
const NODE_NAME = /^[a-z0-9][a-z0-9-]{0,40}$/;
const MEANING: Readonly<Record<NodeProblem, string>> = {
  NODE_NOT_FOUND: 'no living node has this name',
  NODE_DRAINING: 'this node hands over its devices and takes no more',
  NODE_FULL: 'this node has as many devices as it takes',
  LAST_NODE: 'no other node is there to take the devices: they stay where they are',
};

export function nodeProblem(code: NodeProblem): UserErrorShape {
  return problem(code, ['input', 'nodeId'], MEANING[code]);
}

/** The name of a node as it was given, or a Refusal: what cannot be a name is no node. */
export function nodeName(text: string): string {
  if (!NODE_NAME.test(text)) throw new Refusal([nodeProblem('NODE_NOT_FOUND')]);
  return text;
}

export function addNode(kit: Kit): void {
  const { builder } = kit;
  builder.objectType('ActorNode', {
    description: 'A process that hosts devices.',
    fields: (t) => ({
      id: t.exposeID('id', { description: 'Its name.' }),
      state: t.expose('state', { type: kit.NodeState, description: 'Where it stands in its life; GONE after 15 s of silence.' }),
      version: t.exposeString('version', { description: 'Version of the product it runs.' }),
      host: t.exposeString('host', { description: 'The machine.' }),
      capacity: t.exposeInt('capacity', { description: 'The most devices it takes.' }),
      devices: t.exposeInt('devices', { description: 'Devices it owned when it was last heard of.' }),
      startedAt: t.expose('startedAt', { type: 'DateTime', description: 'When it started, by the clock of the ledger.' }),
      seenAt: t.expose('seenAt', { type: 'DateTime', description: 'When it last said that it lives, by the clock of the ledger.' }),
      heartbeatAgeMs: t.exposeInt('silentMs', { description: 'How long ago that was, ms. It says so every 5 s.' }),
    }),
  });
  builder.queryField('nodes', (t) =>
    t.field({
      type: ['ActorNode'],
      description: 'The actor nodes that live or lived within a day.',
      authScopes: { scope: 'screen' },
      complexity: { field: 1, multiplier: 10 },
      resolve: async (_root, _args, context) => [...(await context.fleet.nodes())],
    }),
  );
  const Input = builder.inputType('DrainNodeInput', {
    description: 'Which node to drain.',
    fields: (t) => ({ nodeId: t.id({ required: true, description: 'its name' }) }),
  });
  const Payload = builder.objectRef<NodeAnswer>('DrainNodePayload').implement({
    description: 'Answer of drainNode.',
    fields: (t) => ({
      node: t.field({
        type: 'ActorNode',
        nullable: true,
        description: 'The node, DRAINING from now on.',
        resolve: (answer) => ('node' in answer ? answer.node : null),
      }),
      errors: t.field({
        type: ['UserError'],
        description: 'Empty when it was done; NODE_NOT_FOUND, or LAST_NODE: nobody else could take its devices, so it keeps them.',
        resolve: (answer) => [...answer.errors],
      }),
    }),
  });
  builder.mutationField('drainNode', (t) =>
    t.field({
      type: Payload,
      description:
        'The node hands its devices over to the others and takes no more, until undrainNode or until its process is started again. Only with the installation’s own key.',
      authScopes: { installation: true },
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<NodeAnswer> =>
        attempt(async () => {
          const id = nodeName(String(input.nodeId));
          const node = await context.nodes.drain(id);
          if (typeof node === 'string') throw new Refusal([nodeProblem(node)]);
          await context.audit({ viewer: context.viewer, action: 'drainNode', subject: id });
          return { node };
        }),
    }),
  );
  addUndrain(kit);
}

function addUndrain({ builder }: Kit): void {
  const Input = builder.inputType('UndrainNodeInput', {
    description: 'Which node takes devices again.',
    fields: (t) => ({ nodeId: t.id({ required: true, description: 'its name' }) }),
  });
  const Payload = builder.objectRef<NodeAnswer>('UndrainNodePayload').implement({
    description: 'Answer of undrainNode.',
    fields: (t) => ({
      node: t.field({
        type: 'ActorNode',
        nullable: true,
        description: 'The node; ACTIVE once it has heard of it, 5 s later at the latest.',
        resolve: (answer) => ('node' in answer ? answer.node : null),
      }),
      errors: t.field({
        type: ['UserError'],
        description: 'Empty when it was done, also when the node was not draining; NODE_NOT_FOUND.',
        resolve: (answer) => [...answer.errors],
      }),
    }),
  });
  builder.mutationField('undrainNode', (t) =>
    t.field({
      type: Payload,
      description: 'Takes drainNode back: the node takes devices again without being started anew. Only with the installation’s own key.',
      authScopes: { installation: true },
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<NodeAnswer> =>
        attempt(async () => {
          const id = nodeName(String(input.nodeId));
          const node = await context.nodes.undrain(id);
          if (typeof node === 'string') throw new Refusal([nodeProblem(node)]);
          await context.audit({ viewer: context.viewer, action: 'undrainNode', subject: id });
          return { node };
        }),
    }),
  );
}
