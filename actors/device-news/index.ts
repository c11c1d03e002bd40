export { createDeviceNews, type DeviceNews, type DeviceNewsDeps, toldState } from './device-news.ts';
