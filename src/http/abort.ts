/**
 * The error that a stopped request leaves behind: always one that `isAbort` recognises, whatever reason the signal carries. The
 * reason stays readable as its cause.
 */
export function abortError(signal?: AbortSignal): Error {
  const error = new Error('stopped before the request had finished', { cause: signal?.reason });
  error.name = 'AbortError';
  return error;
}
