import type { StreamState, StreamStatus } from '../store/reports/status.ts';

/** What a person does about a stream: a sentence, and where one helps, the command. */
export interface NextStep {
  readonly text: string;
  readonly command: string | null;
}

export interface StreamSituation extends Pick<StreamStatus, 'connection_id' | 'stream' | 'state' | 'reason_code'> {
  /** Its first full read, or the last one asked for from zero, is complete. */
  readonly isRead: boolean;
  readonly areDeletionsAccepted: boolean;
  /** The entry of the file, or the variable; null: not known here. */
  readonly configuredIn?: string | null;
}

type Command = 'check' | 'sync' | 'walk' | 'accept' | 'resume' | 'repair' | 'login' | 'migrate' | 'quarantine';
type Advice = readonly [text: string, command?: Command];

const ACCEPT_OR_WAIT: Advice = [
  'Look upstream: were these rows really deleted? If they were, accept it; the next full sync then marks them. If not, do nothing: no row was touched.',
  'accept',
];
const KEEPS_TRYING: Advice = [
  'Nothing, if it passes: leadmirror keeps trying and goes on from its checkpoint. If it lasts, see whether the upstream answers from this machine.',
  'check',
];
const INTERFACE_CHANGED: Advice = [
  'The upstream answered against its own rules. Nothing was changed; if it happens again, report it with this message.',
  'sync',
];

/** What a running daemon takes over by itself, and what it does not. */
const TAKEN_OVER =
  'A running daemon follows leadmirror.yaml by itself and .env after kill -HUP; variables of its own environment need a restart.';

const SIGN_IN: Advice = [`Correct the account’s credentials {where}. ${TAKEN_OVER}`, 'check'];
const TILKEE_SIGN_IN: Advice = [
  'Sign in again; a running daemon finds the new sign-in within 15 minutes. Or sync it by hand then.',
  'login',
];

/** By reason code; what is not listed falls back to the state. */
const BY_CODE: Readonly<Record<string, Advice>> = {
  auth_failed: SIGN_IN,
  auth_refused: SIGN_IN,
  auth_role: ['Give the account a role that may read everything (admin or owner), then run it again.', 'check'],
  auth_not_member: [
    `Invite the account into the project: a running daemon tries again within 15 minutes. Or correct the project’s id {where}. ${TAKEN_OVER}`,
    'check',
  ],
  project_not_found: [`Correct the project’s id {where}. ${TAKEN_OVER}`, 'check'],
  wrong_base_url: [
    `Correct the base URL: its path (/v3, /v2, /v1 or none) is part of it {where}. ${TAKEN_OVER}`,
    'check',
  ],
  deletion_brake: ACCEPT_OR_WAIT,
  suddenly_empty: ACCEPT_OR_WAIT,
  deletions_unconfirmed: ['Nothing: the next full sync asks again. To have it sooner, run one now.', 'walk'],
  walk_gave_up: [
    'Nothing: the next run goes on from the checkpoint. In a quieter hour it gets through at once.',
    'sync',
  ],
  circuit_open: [
    'Nothing: it goes on by itself as soon as the upstream answers. If it lasts, see whether the upstream answers from this machine.',
    'check',
  ],
  rate_limited: ['Nothing: the upstream asked for a pause, and the run goes on by itself after it.'],
  day_limit: ['Nothing: it goes on by itself when the day is over, or when the account’s limit of a day is raised.'],
  backfill_unfinished: [
    'The full read is not complete: its next run goes on from the checkpoint. To have it now:',
    'walk',
  ],
  backfill_first: ['Nothing: it begins by itself when the first full read is done.'],
  verify_differences: ['Let verify read just these rows again.', 'repair'],
  open_quarantine: ['See what is wrong with these records; the rest is mirrored.', 'quarantine'],
  erasures_missing: [
    'Repeat the erasures of the journal: leadmirror forget --replay, with the file that PRIVACY_JOURNAL names. Runs begin by themselves then.',
  ],
  erasures_journal_missing: [
    'Let PRIVACY_JOURNAL name the file in which the erasures of this database are noted, for every process, and restart it.',
    'check',
  ],
  network: KEEPS_TRYING,
  timeout: KEEPS_TRYING,
  upstream_unavailable: KEEPS_TRYING,
  upstream_garbled: KEEPS_TRYING,
  not_json: INTERFACE_CHANGED,
  unexpected_shape: INTERFACE_CHANGED,
  unexpected_status: INTERFACE_CHANGED,
  more_without_rows: INTERFACE_CHANGED,
  bug: ['An error that leadmirror did not foresee: please report it, with its log.', 'sync'],
  database_mismatch: [
    'See the message: a table of leadmirror was changed or removed, or its database is too old.',
    'migrate',
  ],
  database_disk_full: ['Free space on the database’s disk; nothing was lost, and runs go on by themselves.'],
};

const BY_STATE: Readonly<Record<StreamState, Advice>> = {
  fresh: ['Nothing to do.'],
  syncing: ['Nothing to do: rows can be read as they arrive, the stream is whole when the full read ends.'],
  never: ['It begins by itself while the daemon (leadmirror start) runs with a worker. To read it now:', 'sync'],
  stale: ['See that a worker is running (leadmirror start), or run it by hand.', 'sync'],
  partial: ['A full sync finds what is missing.', 'walk'],
  blocked: ['Read the reason, correct it, then run it again.', 'check'],
  paused: ['Resume it when it may go on.', 'resume'],
};

const ACCEPTED: Advice = ['The deletions are accepted: the next full sync marks them. To have it now:', 'walk'];

export function nextStep(situation: StreamSituation): NextStep {
  const [text, command] = adviceOn(situation);
  const where = situation.configuredIn
    ? `(configured in ${situation.configuredIn})`
    : '(in the environment, .env or leadmirror.yaml)';
  return {
    text: text.replace('{where}', where),
    command: command === undefined ? null : `leadmirror ${argumentsOf(command, situation)}`,
  };
}

function adviceOn({ connection_id, state, reason_code, areDeletionsAccepted }: StreamSituation): Advice {
  if (state === 'fresh' || state === 'paused' || state === 'syncing') return BY_STATE[state];
  const advice = BY_CODE[reason_code] ?? BY_STATE[state];
  if (advice === ACCEPT_OR_WAIT && areDeletionsAccepted) return ACCEPTED;
  return advice === SIGN_IN && connection_id.startsWith('tilkee:') ? TILKEE_SIGN_IN : advice;
}

function argumentsOf(command: Command, { connection_id, stream, isRead }: StreamSituation): string {
  // The commands work with one account or with many.
  const where = `--connection ${connection_id}`;
  return {
    check: 'check',
    sync: `sync ${stream} ${where}`,
    // While the first full read is not complete, of that one.
    walk: `sync ${stream} ${isRead ? '--pass reconcile ' : ''}${where}`,
    accept: `accept-deletions ${stream} ${where}`,
    resume: `resume ${stream} ${where}`,
    repair: `verify ${stream} --repair ${where}`,
    login: 'tilkee login',
    migrate: 'migrate',
    quarantine: 'quarantine list',
  }[command];
}
