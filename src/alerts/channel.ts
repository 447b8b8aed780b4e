import { errorOf } from '../errors.ts';
import type { Digest } from './digest.ts';

export interface Channel {
  readonly name: 'webhook' | 'email';
  /** Where it goes, without anything secret: host and port. */
  readonly address: string;
  /**
   * Tells it once. `id`: the same for every try, so that a receiver can drop a repetition.
   * @throws DeliveryError
   */
  send(id: string, digest: Digest): Promise<void>;
  close(): Promise<void>;
}

/** A message was not accepted. Names neither address nor recipient: the address may itself be the secret. */
export class DeliveryError extends errorOf('alert_not_delivered') {}
