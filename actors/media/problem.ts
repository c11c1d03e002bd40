/** Why media cannot be had or taken. `retry`: the same request may work later. */
export class MediaProblem extends Error {
  readonly code: 'MEDIA_REFUSED' | 'MEDIA_TOO_LARGE' | 'MEDIA_TYPE' | 'MEDIA_NOT_FOUND' | 'MEDIA_UNREACHABLE';
  readonly retry: boolean;
  constructor(code: MediaProblem['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'MediaProblem';
    this.code = code;
    this.retry = code === 'MEDIA_UNREACHABLE';
  }
}
