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

/** Streams with the same cause and the same value of this have it together. */
type Scope = 'everything' | 'credential' | 'account' | 'stream';
type Command = 'check' | 'sync' | 'walk' | 'accept' | 'resume' | 'repair' | 'login' | 'migrate' | 'quarantine';

/** What a reason is a sign of, where that is more than its state, and what to do about it. */
interface Reason {
  readonly cause?: readonly [scope: Scope, text: string, passes?: 'passes'];
  readonly step: readonly [text: string, command?: Command];
}

/** What a running daemon takes over by itself, and what it does not. */
const TAKEN_OVER =
  'A running daemon follows leadmirror.yaml by itself, and .env after kill -HUP; its environment needs a restart.';
const LASTS = 'If it lasts, see whether the upstream answers from this machine.';

const SIGN_IN: Reason = {
  cause: ['credential', 'the sign-in of {account} was refused'],
  step: [`Correct the account’s credentials {where}. ${TAKEN_OVER}`, 'check'],
};
const GUARD: Reason = {
  cause: ['stream', 'the guard blocks deletions in {stream}'],
  step: [
    'Were these rows really deleted upstream? If so, accept it: the next full sync marks them. If not, do nothing.',
    'accept',
  ],
};
const ACCEPTED: Reason = {
  step: ['They are accepted: the next full sync marks them. To have it now:', 'walk'],
};
const NO_ANSWER: Reason = {
  cause: ['credential', 'the upstream of {account} does not answer', 'passes'],
  step: [`Nothing, if it passes: leadmirror keeps trying and goes on from its checkpoint. ${LASTS}`, 'check'],
};
const INTERFACE_CHANGED: Reason = {
  step: ['The upstream answered against its own rules, and nothing was changed. If it lasts, report it.', 'sync'],
};

/** By reason code; what is not listed falls back to the state. */
const BY_CODE: Readonly<Record<string, Reason>> = {
  auth_failed: SIGN_IN,
  auth_refused: SIGN_IN,
  auth_role: {
    cause: ['account', 'the role in {account} may not read everything'],
    step: ['Give the account a role that may read everything (admin or owner), then run it again.', 'check'],
  },
  auth_not_member: {
    cause: ['account', 'the sign-in is no member of {account}'],
    step: [
      `Invite the account into the project (tried again within 15 minutes), or correct its id {where}. ${TAKEN_OVER}`,
      'check',
    ],
  },
  project_not_found: {
    cause: ['account', 'the project of {account} was not found'],
    step: [`Correct the project’s id {where}. ${TAKEN_OVER}`, 'check'],
  },
  wrong_base_url: {
    cause: ['account', 'the base URL of {account} is wrong'],
    step: [`Correct the base URL: its path (/v3, /v2, /v1 or none) is part of it {where}. ${TAKEN_OVER}`, 'check'],
  },
  deletion_brake: GUARD,
  suddenly_empty: GUARD,
  deletions_unconfirmed: {
    cause: ['account', 'deletions of {account} are not confirmed yet', 'passes'],
    step: ['Nothing: the next full sync asks again. To have it sooner, run one now.', 'walk'],
  },
  walk_gave_up: {
    cause: ['account', 'a list of {account} changed too fast to be read', 'passes'],
    step: ['Nothing: the next run goes on from the checkpoint. In a quieter hour it gets through at once.', 'sync'],
  },
  circuit_open: {
    ...NO_ANSWER,
    step: [`Nothing: it goes on by itself as soon as the upstream answers. ${LASTS}`, 'check'],
  },
  network: NO_ANSWER,
  timeout: NO_ANSWER,
  upstream_unavailable: NO_ANSWER,
  upstream_garbled: NO_ANSWER,
  rate_limited: {
    cause: ['credential', 'the upstream of {account} asked for a pause', 'passes'],
    step: ['Nothing: the run goes on by itself after the pause.'],
  },
  day_limit: {
    cause: ['credential', 'the requests of {account} for today are used up', 'passes'],
    step: ['Nothing: it goes on by itself when the day is over, or when the account’s limit of a day is raised.'],
  },
  backfill_unfinished: { step: ['The next run goes on from the checkpoint. To have it now:', 'walk'] },
  backfill_first: { step: ['Nothing: it begins by itself when the first full read is done.'] },
  verify_differences: {
    cause: ['stream', 'rows of {stream} differ from the upstream'],
    step: ['Let verify read just these rows again.', 'repair'],
  },
  open_quarantine: {
    cause: ['account', 'records of {account} are in quarantine'],
    step: ['See what is wrong with these records; the rest is mirrored.', 'quarantine'],
  },
  erasures_missing: {
    cause: ['everything', 'the database lacks erasures that the journal has'],
    step: ['Repeat them: leadmirror forget --replay, with the file that PRIVACY_JOURNAL names. Runs then begin.'],
  },
  erasures_journal_missing: {
    cause: ['everything', 'the journal of erasures is not to be found'],
    step: ['Let PRIVACY_JOURNAL name the file with the erasures of this database, and restart every process.', 'check'],
  },
  not_json: INTERFACE_CHANGED,
  unexpected_shape: INTERFACE_CHANGED,
  unexpected_status: INTERFACE_CHANGED,
  more_without_rows: INTERFACE_CHANGED,
  bug: { step: ['leadmirror did not foresee this error: please report it, with its log.', 'sync'] },
  database_mismatch: { step: ['A table of leadmirror was changed or removed, or its database is too old.', 'migrate'] },
  database_disk_full: {
    cause: ['everything', 'the disk of the database is full'],
    step: ['Free space on the database’s disk; nothing was lost, and runs go on by themselves.'],
  },
};

const BY_STATE: Readonly<Record<StreamState, Reason>> = {
  fresh: { step: ['Nothing to do.'] },
  syncing: { step: ['Nothing to do: rows can be read as they arrive; the stream is whole when it ends.'] },
  never: { step: ['It begins by itself while leadmirror start runs with a worker. To read it now:', 'sync'] },
  stale: {
    cause: ['everything', 'no pass of {account} was complete in time'],
    step: ['See that a worker is running (leadmirror start), or run it by hand.', 'sync'],
  },
  partial: {
    cause: ['account', 'something of {account} is missing or unconfirmed'],
    step: ['A full sync finds what is missing.', 'walk'],
  },
  blocked: { step: ['Read the reason, correct it, then run it again.', 'check'] },
  paused: { step: ['Resume it when it may go on.', 'resume'] },
};

export const UNKNOWN = 'an error stops {account}';

/** What the problem is a sign of: of that reason alone, where no more is known. */
export const causeOf = ({ state, reason_code: code }: Pick<StreamStatus, 'state' | 'reason_code'>) =>
  BY_CODE[code]?.cause ?? BY_STATE[state].cause ?? (['account', UNKNOWN] as const);

/** Whether it is the account that has to be corrected, before any run is of use. */
export const isOfAccount = (code: string): boolean =>
  BY_CODE[code]?.step[1] === 'check' && BY_CODE[code]?.cause?.[2] === undefined;

export function nextStep(situation: StreamSituation): NextStep {
  const [text, command] = stepIn(situation);
  const where = situation.configuredIn
    ? `(configured in ${situation.configuredIn})`
    : '(in the environment, .env or leadmirror.yaml)';
  return {
    text: text.replace('{where}', where),
    command: command === undefined ? null : `leadmirror ${argumentsOf(command, situation)}`,
  };
}

function stepIn({ connection_id, state, reason_code, areDeletionsAccepted }: StreamSituation): Reason['step'] {
  if (state === 'fresh' || state === 'paused' || state === 'syncing') return BY_STATE[state].step;
  const reason = BY_CODE[reason_code] ?? BY_STATE[state];
  if (reason === GUARD && areDeletionsAccepted) return ACCEPTED.step;
  if (reason !== SIGN_IN || !connection_id.startsWith('tilkee:')) return reason.step;
  return ['Sign in again; a running daemon finds the new sign-in within 15 minutes. Or sync it by hand then.', 'login'];
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
