import {
  type BinaryNode,
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  getBinaryNodeChildren,
  getBinaryNodeChildString,
  jidDecode,
  QueryIds,
  S_WHATSAPP_NET,
  XWAPaths,
} from '@whiskeysockets/baileys';
import { type Account, bundleOf, type Companion, seconds } from './account.ts';

/** What the provider says about an account that reaches out too much; a test sets it. */
export interface Standing {
  /** wall ms; 0 = free */
  lockedUntil: number;
  newChatsUsed: number;
  newChatsTotal: number;
  /** wall ms of the end of the cycle; 0 = not said */
  newChatsEnd: number;
}

export interface AnswerDeps {
  /** by JID of either kind; makes the account of a number that is on WhatsApp */
  accountOf(jid: string): Account | undefined;
  readonly standing: Standing;
  /** host:port where media are uploaded */
  mediaHost(): Promise<string>;
}

const node = (tag: string, attrs: Record<string, string> = {}, content?: BinaryNode['content']): BinaryNode =>
  content === undefined ? { tag, attrs } : { tag, attrs, content };
const firstOf = (iq: BinaryNode): BinaryNode | undefined => (Array.isArray(iq.content) ? iq.content[0] : undefined);

/** The server's answer to a query of a logged-in device. What it does not know is answered with an empty result. */
export async function answerTo(deps: AnswerDeps, from: Companion, iq: BinaryNode): Promise<BinaryNode> {
  const child = firstOf(iq);
  const result = (content?: BinaryNode[]): BinaryNode =>
    node('iq', { from: iq.attrs['to'] ?? S_WHATSAPP_NET, id: iq.attrs['id'] ?? '', t: seconds(), type: 'result' }, content);
  switch (iq.attrs['xmlns']) {
    case 'encrypt':
      return result(await keysAnswer(deps, from, iq, child));
    case 'usync':
      return result([usyncAnswer(deps, child)]);
    case 'abt':
      return result([node('props', { hash: 'local' }, [])]);
    case 'blocklist':
      return result([node('list', {}, [])]);
    case 'privacy':
      return result(child?.tag === 'tokens' ? [] : [node('privacy', {}, [])]);
    case 'w:mex':
      return result(mexAnswer(deps.standing, child));
    case 'w:m':
      return result([node('media_conn', { auth: 'local', ttl: '3600' }, [node('host', { hostname: await deps.mediaHost() })])]);
    case 'w:sync:app:state':
      return result([node('sync', {}, collections(child))]);
    default:
      return result();
  }
}

const collections = (sync: BinaryNode | undefined): BinaryNode[] =>
  getBinaryNodeChildren(sync, 'collection').map(({ attrs }) =>
    node('collection', { name: attrs['name'] ?? '', version: attrs['version'] ?? '0', has_more_patches: 'false' }),
  );

async function keysAnswer(deps: AnswerDeps, from: Companion, iq: BinaryNode, child: BinaryNode | undefined): Promise<BinaryNode[]> {
  if (iq.attrs['type'] === 'set') {
    upload(from, iq);
    return [];
  }
  if (child?.tag === 'count') return [node('count', { value: String(from.keys?.list.length ?? 0) })];
  if (child?.tag === 'digest') return from.keys === undefined ? [] : [node('digest')];
  if (child?.tag !== 'key') return [];
  const users: BinaryNode[] = [];
  for (const { attrs } of getBinaryNodeChildren(child, 'user')) {
    const { jid = '' } = attrs;
    const account = deps.accountOf(jid);
    const device = jidDecode(jid)?.device ?? 0;
    if (account === undefined) continue;
    const companion = account.companions.get(device);
    const found = device === 0 ? await account.party.bundle(jid) : companion === undefined ? undefined : bundleOf(companion, jid);
    if (found !== undefined) users.push(found);
  }
  return [node('list', {}, users)];
}

function upload(from: Companion, iq: BinaryNode): void {
  const rotated = getBinaryNodeChild(getBinaryNodeChild(iq, 'rotate'), 'skey');
  if (rotated !== undefined && from.keys !== undefined) from.keys.signed = rotated;
  const registration = getBinaryNodeChildBuffer(iq, 'registration');
  const identity = getBinaryNodeChildBuffer(iq, 'identity');
  const signed = getBinaryNodeChild(iq, 'skey');
  if (registration === undefined || identity === undefined || signed === undefined) return;
  const list = getBinaryNodeChildren(getBinaryNodeChild(iq, 'list'), 'key');
  from.keys = { registration, identity, signed, list: [...(from.keys?.list ?? []), ...list] };
}

function usyncAnswer(deps: AnswerDeps, usync: BinaryNode | undefined): BinaryNode {
  const list = getBinaryNodeChild(usync, 'list');
  const users = getBinaryNodeChildren(list, 'user').map((user) => {
    const number = getBinaryNodeChildString(user, 'contact');
    const jid = user.attrs['jid'] ?? `${(number ?? '').replace(/^\+/, '')}@s.whatsapp.net`;
    const account = deps.accountOf(jid);
    const devices = [...(account?.companions.values() ?? [])].map(({ device }) =>
      node('device', { id: String(device), 'key-index': String(device) }),
    );
    const content = [
      ...(number === undefined ? [] : [node('contact', { type: account === undefined ? 'out' : 'in' })]),
      ...(account === undefined
        ? []
        : [node('devices', {}, [node('device-list', {}, [node('device', { id: '0' }), ...devices])]), node('lid', { val: account.lid })]),
    ];
    return node('user', { jid }, content);
  });
  return node('usync', { ...usync?.attrs, last: 'true', index: '0' }, [node('list', {}, users)]);
}

/** the same as notifications: name of the operation, data */
export function standingNews(standing: Standing): readonly (readonly [string, object])[] {
  const locked = standing.lockedUntil > Date.now();
  return [
    [
      'NotificationUserReachoutTimelockUpdate',
      {
        xwa2_notify_account_reachout_timelock: {
          is_active: locked,
          ...(locked ? { time_enforcement_ends: String(Math.floor(standing.lockedUntil / 1000)) } : {}),
        },
      },
    ],
    ['MessageCappingInfoNotification', { xwa2_notify_new_chat_messages_capping_info_update: cappingInfo(standing) }],
  ];
}

const cappingInfo = ({ newChatsTotal, newChatsUsed, newChatsEnd }: Standing): object => ({
  total_quota: newChatsTotal,
  used_quota: newChatsUsed,
  ...(newChatsEnd === 0 ? {} : { cycle_end_timestamp: String(Math.floor(newChatsEnd / 1000)) }),
});

function mexAnswer(standing: Standing, query: BinaryNode | undefined): BinaryNode[] {
  const data: Record<string, unknown> = {};
  if (query?.attrs['query_id'] === QueryIds.REACHOUT_TIMELOCK) {
    data[XWAPaths.xwa2_fetch_account_reachout_timelock] = {
      is_active: standing.lockedUntil > Date.now(),
      time_enforcement_ends: String(Math.floor(standing.lockedUntil / 1000)),
      enforcement_type: 'DEFAULT',
    };
  }
  if (query?.attrs['query_id'] === QueryIds.MESSAGE_CAPPING_INFO) {
    data[XWAPaths.xwa2_message_capping_info] = cappingInfo(standing);
  }
  return [node('result', {}, Buffer.from(JSON.stringify({ data })))];
}
