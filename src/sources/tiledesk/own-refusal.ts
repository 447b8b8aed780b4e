import type { UpstreamResponse } from '../../http/upstream.ts';
import { isObject } from '../coerce.ts';

/** `{"success":false,"msg":…}`, and in other words the errors of the IP filter and of validation (seen in server 2.19). */
export function isRefusalObject(body: unknown): boolean {
  if (!isObject(body)) return false;
  const { success, msg, message, error, err, errors } = body;
  if (success === false) return [msg, message, error].some((text) => typeof text === 'string');
  return (
    typeof err === 'string' ||
    Array.isArray(errors) ||
    (typeof error === 'string' && success === undefined && !('message' in body))
  );
}

/** Whether Tiledesk itself refuses: in its own JSON, in the one word of its sign-in check, or as its framework knows no such address. */
export function isOwnRefusal({ status, body }: UpstreamResponse): boolean {
  if (isRefusalObject(body)) return true;
  if (status === 401) return typeof body === 'string' && body.trim() === 'Unauthorized';
  return status === 404 && typeof body === 'string' && /\bCannot (GET|POST) \//.test(body);
}
