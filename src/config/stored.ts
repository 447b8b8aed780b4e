import type { ConnectionCode } from '../errors.ts';
import { isPrivateHost } from '../private-address.ts';
import { storedKeysOf } from './account-sources.ts';
import { type FileEntry, type Mapping, readEntry } from './entry.ts';
import type { Findings } from './findings.ts';
import type { ConnectionConfig } from './types.ts';

export interface StoredEntry {
  /** Null: the one that its source gives it. */
  readonly id: string | null;
  /** Another one after every change. */
  readonly version?: string;
  /** An entry of leadmirror.yaml, without what is encrypted. */
  readonly entry: Mapping;
  /** What is encrypted, by key; null when `refusal` explains why it is not there. */
  readonly secrets: Readonly<Record<string, string>> | null;
  /** Why the account cannot be used, whatever its settings are. */
  readonly refusal?: Omit<UnusableConnection, 'id'>;
}

/** An account of the database that is not mirrored by this process. The message has no secret. */
export interface UnusableConnection {
  readonly id: string;
  readonly code: Extract<ConnectionCode, 'connection_clash' | 'connection_locked' | 'connection_invalid'>;
  readonly message: string;
}

interface DescribedConnection {
  readonly connections: readonly ConnectionConfig[];
  readonly label: string;
}

interface StoredContext<Account> {
  readonly accounts: readonly Account[];
  readonly findings: Findings;
  readonly read: (entry: FileEntry) => Account;
  readonly privateHosts: readonly string[];
}

/**
 * Reads the accounts of the database by the rules of leadmirror.yaml, without references. File and environment win;
 * what is wrong with one account is a finding of that account, and the others are mirrored.
 */
export function readStored<Account extends DescribedConnection>(
  stored: readonly StoredEntry[],
  { accounts, findings, read, privateHosts }: StoredContext<Account>,
): { readonly accounts: readonly Account[]; readonly unusable: readonly UnusableConnection[] } {
  const configured = new Map(accounts.flatMap(({ connections, label }) => connections.map(({ id }) => [id, label])));
  const usable: Account[] = [];
  const unusable: UnusableConnection[] = [];
  for (const one of stored) {
    const name = one.id ?? '';
    const refuse = (code: UnusableConnection['code'], message: string, id = name) =>
      unusable.push({ id, code, message });
    const refuseAsConfigured = (id: string) =>
      refuse(
        'connection_clash',
        `is also configured, by ${configured.get(id)}: that one counts, and this one rests`,
        id,
      );
    if (configured.has(name)) refuseAsConfigured(name);
    else if (one.refusal !== undefined) refuse(one.refusal.code, one.refusal.message);
    else {
      const { problems: allProblems, hints } = findings;
      const [problemsBefore, hintsBefore] = [allProblems.length, hints.length];
      const account = read(readStoredEntry(one, findings));
      const problems = allProblems.splice(problemsBefore);
      // With the others, a hint has to name its account.
      for (const { variable, message } of hints.splice(hintsBefore))
        findings.hint(`${name} ${variable}`.trim(), message);
      const id = account.connections[0]?.id ?? name;
      const strange = account.connections
        .flatMap(hostsOf)
        .find((host) => isPrivateHost(host) && !privateHosts.includes(host));
      if (problems.length > 0) {
        const message = problems.map(({ variable, message }) => `${variable} ${message}`).join('; ');
        refuse('connection_invalid', message, id);
      } else if (strange !== undefined) refuse('connection_invalid', `names ${strange}, ${PRIVATE_HOST}`, id);
      else if (configured.has(id)) refuseAsConfigured(id);
      else usable.push(account);
    }
  }
  return { accounts: usable, unusable };
}

const PRIVATE_HOST =
  'which is on this machine or in a private network; to allow that, name the host in CONNECTION_HOSTS of every process';

export function hostsOf(connection: ConnectionConfig): readonly string[] {
  const urls =
    connection.source === 'tiledesk'
      ? [connection.baseUrl]
      : [connection.v3Url, connection.v2Url, connection.authUrl, connection.appUrl];
  return urls.map((url) => new URL(url).hostname);
}

function readStoredEntry({ id, entry, secrets }: StoredEntry, findings: Findings): FileEntry {
  const label = (...path: readonly string[]): string => path.join('.');
  const item = { ...entry, ...secrets, ...(id !== null && { id }) };
  return readEntry(item, { keysOf: storedKeysOf, label, findings, cwd: '' });
}
