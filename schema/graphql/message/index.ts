import type { Kit } from '../builder.ts';
import { addCancelMessage } from './cancel.ts';
import { addErase } from './erase.ts';
import { addSendMessage } from './send.ts';
import { addSuppress } from './suppress.ts';
import { addMessageQueries, addMessageType } from './type.ts';

export function addMessage(kit: Kit): void {
  addMessageType(kit);
  addMessageQueries(kit);
  addSendMessage(kit);
  addCancelMessage(kit);
  addSuppress(kit);
  addErase(kit);
}
