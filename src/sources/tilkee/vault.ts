import type { Vault } from '../vault.ts';
import type { StoredSignIn } from './parts.ts';

/** What the vault keeps of a sign-in. */
export interface KeptSignIn extends StoredSignIn {
  /** Ms since 1970 by the clock of who signed in. With `expiresAt` it tells every process how long such a token lives. */
  readonly obtainedAt?: number;
}

export type TokenVault = Vault<KeptSignIn>;
