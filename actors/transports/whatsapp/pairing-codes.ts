import type { PairingRequest } from '../../../schema/domain/index.ts';
import type { PairingDesk } from './pairing-desk.ts';

/** What is shown of one device's pairing. Owns: the request under way and the count of its QR codes. Called by device-connection.ts. */
export interface PairingCodes {
  begin(request: PairingRequest): void;
  /** a QR code came in the pairing that began last */
  readonly shown: boolean;
  /** a QR code came: it is shown, or asked to be a code to type; an unwatched pairing does not go on for ever */
  came(text: string, lifeMs: number): void;
}

export interface PairingCodesDeps {
  readonly deviceId: string;
  readonly desk: Pick<PairingDesk, 'publish'>;
  readonly most: number;
  say(reason: string): void;
  expired(): void;
  /** asks for a code to type on the phone with this number */
  askCode(phone: string): void;
}

export function createPairingCodes({ deviceId, desk, most, say, expired, askCode }: PairingCodesDeps): PairingCodes {
  let asked: PairingRequest | undefined;
  let codes = 0;
  return {
    begin(request) {
      asked = request;
      codes = 0;
    },
    get shown() {
      return codes > 0;
    },
    came(text, lifeMs) {
      codes += 1;
      if (codes > most) return expired();
      if (asked?.method !== 'code') {
        say('SCAN_QR');
        desk.publish(deviceId, { kind: 'qr', text, lifeMs, number: codes, most });
        return;
      }
      // the codes that follow only tell that the pairing is still open
      if (codes === 1) askCode(asked.phone ?? '');
    },
  };
}
