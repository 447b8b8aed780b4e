import type { UpstreamResponse } from '../../http/upstream.ts';
import { isObject } from '../coerce.ts';

type Refusal = Pick<UpstreamResponse, 'status' | 'body'>;

/** `{"success":false,"msg":…}`. Only a 404 in this form means that an object was deleted (seen in server 2.19). */
export function isRefusalObject(body: unknown): boolean {
  return isObject(body) && body.success === false && typeof body.msg === 'string';
}

/**
 * Whether Tiledesk itself refuses. Each status has a form of its own besides the usual one (seen in server 2.19);
 * gateways write an `error` or a `message` of their own at any status.
 */
export function isOwnRefusal({ status, body }: Refusal): boolean {
  if (isRefusalObject(body)) return true;
  const { error, err, errors }: Readonly<Record<string, unknown>> = isObject(body) ? body : {};
  switch (status) {
    case 400:
      return typeof error === 'string' && /^(Invalid project id|Project not found)/.test(error);
    case 401:
      // The IP filter, a ban, or the text of the check of credentials.
      return body === 'Unauthorized' || (typeof err === 'string' && err.startsWith('error project'));
    case 404:
      return typeof body === 'string' && /\bCannot (GET|POST) \//.test(body);
    case 422:
      return Array.isArray(errors) && errors.length > 0 && errors.every((one) => isObject(one) && 'msg' in one);
    default:
      return false;
  }
}
