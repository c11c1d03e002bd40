export type { LiveStreamName, StreamPosition } from './append.ts';
export { createLive, type Live, type LiveDeps, type LiveOptions } from './publisher.ts';
export {
  createLiveReader,
  type LiveReader,
  type LiveReaderDeps,
  type LiveReaderOptions,
  type LiveRecords,
  type LiveSink,
  type LiveSubscription,
} from './reader.ts';
