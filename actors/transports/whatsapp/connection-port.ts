import type { Clock, Dice } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import type { DeviceSession, SessionStore } from '../../sessions/index.ts';
import type { Connection, TransportDevice } from '../port.ts';
import type { AccountTiming } from './account.ts';
import type { ConnectTurns } from './connect-turn.ts';
import type { Contents } from './contents.ts';
import type { Identities } from './identities.ts';
import type { LineFactory, LineOptions } from './line-port.ts';
import type { LivenessOptions } from './liveness.ts';
import type { MediaAgainDesk } from './media-again.ts';
import type { NumberCheckOptions } from './number-check.ts';
import type { PairingDesk } from './pairing-desk.ts';
import type { ProxySeal } from './proxy-seal.ts';
import type { Quarantine } from './quarantine.ts';
import type { Timing } from './redial.ts';
import type { Standing } from './standing.ts';
import type { WireIds } from './wire-ids.ts';

/** What all devices of a node share (transport.ts), as one of their connections sees it. */
export interface ConnectionDeps {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly log: Log;
  readonly sessions: SessionStore;
  readonly wireIds: WireIds;
  readonly desk: PairingDesk;
  readonly turns: ConnectTurns;
  readonly standing: Standing;
  readonly quarantine: Quarantine;
  readonly contents: Contents;
  readonly identities: Identities;
  readonly numbers: NumberCheckOptions;
  /** erases a session that was unlinked through the API; true when there was one */
  eraseUnlinked(device: TransportDevice, opened: DeviceSession): Promise<boolean>;
  readonly library: () => Promise<LineFactory>;
  /** what every socket of the node has in common */
  readonly line: Pick<
    LineOptions,
    'server' | 'version' | 'keyWriteTries' | 'retryCounts' | 'recipientDevices' | 'qrLifeMs' | 'keepAliveMs'
  >;
  readonly proxies: Pick<ProxySeal, 'open'>;
  readonly liveness: LivenessOptions;
  readonly mediaAgain: MediaAgainDesk;
  /** QR codes shown before a pairing is over */
  readonly mostCodes: number;
  /** messages that may wait in memory behind one that is not stored */
  readonly mostBehind: number;
  readonly timing: Timing & AccountTiming;
}
export interface DeviceConnection extends Connection {
  /** looks whether something has changed that no event tells; asked now and then */
  look(): void;
}
