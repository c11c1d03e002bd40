export { checked, checkType, kindOf, plainType, tooLarge } from './format.ts';
export { MediaProblem } from './problem.ts';
export { type OpenOptions, type OpenSettings, openReceived } from './received.ts';
export { createUploads, openUpload, type UploadSettings, type Uploads } from './uploads.ts';
