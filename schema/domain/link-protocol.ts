// the frames between gateway and device; their door is schema/link, which k6 can load too
export { LINK_ACK_STATUSES, LINK_SUBPROTOCOL, type LinkAckStatus, type LinkFromDevice, type LinkToDevice } from '../link/index.ts';
