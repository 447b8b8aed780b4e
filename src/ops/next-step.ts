import type { StreamState } from '../store/reports/status.ts';

/** What a person does about a stream: a sentence, and where one helps, the command. */
export interface NextStep {
  readonly text: string;
  readonly command: string | null;
}

export interface StreamSituation {
  readonly connectionId: string;
  readonly stream: string;
  readonly state: StreamState;
  /** The state's reason. */
  readonly code: string;
  /** Its first full read, or the last one asked for from zero, is complete. */
  readonly isRead: boolean;
  readonly areDeletionsAccepted: boolean;
}

interface Words {
  readonly stream: string;
  /** `--connection <id>`: the commands work with one account or with many. */
  readonly where: string;
  readonly source: string;
  /** The command of a full walk; while the first full read is not complete, of that one. */
  readonly walk: string;
}

type Advice = (words: Words) => NextStep;

const step = (text: string, command: string | null = null): NextStep => ({ text, command });
const check =
  (text: string): Advice =>
  () =>
    step(text, 'leadmirror check');

const acceptOrWait: Advice = ({ stream, where }) =>
  step(
    'Look upstream: were these rows really deleted? If they were, accept it; the next full walk then marks them. If not, do nothing: no row was touched.',
    `leadmirror accept-deletions ${stream} ${where}`,
  );

const keepsTrying = check(
  'Nothing, if it passes: leadmirror keeps trying and goes on from its checkpoint. If it lasts, see whether the upstream answers from this machine.',
);

const interfaceChanged: Advice = ({ stream, where }) =>
  step(
    'The upstream answered against its own rules. Nothing was changed; if it happens again, report it with this message.',
    `leadmirror sync ${stream} ${where}`,
  );

/** What a running daemon takes over by itself, and what it does not. */
const TAKEN_OVER =
  'A running daemon follows leadmirror.yaml by itself and .env after kill -HUP; variables of its own environment need a restart.';

const signIn: Advice = ({ source }) =>
  source === 'tilkee'
    ? step(
        'Sign in again; a running daemon finds the new sign-in within 15 minutes. Or sync it by hand then.',
        'leadmirror tilkee login',
      )
    : step(
        `Correct the account’s credentials (TILEDESK_EMAIL and TILEDESK_PASSWORD, or TILEDESK_TOKEN). ${TAKEN_OVER}`,
        'leadmirror check',
      );

/** By reason code; what is not listed falls back to the state. */
const BY_CODE: Readonly<Record<string, Advice>> = {
  auth_failed: signIn,
  auth_refused: signIn,
  auth_role: check('Give the account a role that may read everything (admin or owner), then run it again.'),
  auth_not_member: check(
    `Invite the account into the project: a running daemon tries again within 15 minutes. Or correct the project’s id. ${TAKEN_OVER}`,
  ),
  project_not_found: check(`Correct the project’s id (TILEDESK_PROJECT_ID). ${TAKEN_OVER}`),
  wrong_base_url: check(`Correct the base URL: its path (/v3, /v2, /v1 or none) is part of it. ${TAKEN_OVER}`),
  deletion_brake: acceptOrWait,
  suddenly_empty: acceptOrWait,
  deletions_unconfirmed: ({ walk }) =>
    step('Nothing: the next full walk asks again. To have it sooner, run one now.', walk),
  walk_gave_up: ({ stream, where }) =>
    step(
      'Nothing: the next run goes on from the checkpoint. In a quieter hour it gets through at once.',
      `leadmirror sync ${stream} ${where}`,
    ),
  circuit_open: check(
    'Nothing: it goes on by itself as soon as the upstream answers. If it lasts, see whether the upstream answers from this machine.',
  ),
  rate_limited: () => step('Nothing: the upstream asked for a pause, and the run goes on by itself after it.'),
  backfill_unfinished: ({ walk }) =>
    step('The full read is not complete: its next run goes on from the checkpoint. To have it now:', walk),
  backfill_first: () => step('Nothing: it begins by itself when the first full read is done.'),
  verify_differences: ({ stream, where }) =>
    step('Let verify read just these rows again.', `leadmirror verify ${stream} --repair ${where}`),
  open_quarantine: () =>
    step('See what is wrong with these records; the rest is mirrored.', 'leadmirror quarantine list'),
  network: keepsTrying,
  timeout: keepsTrying,
  upstream_unavailable: keepsTrying,
  upstream_garbled: keepsTrying,
  not_json: interfaceChanged,
  unexpected_shape: interfaceChanged,
  unexpected_status: interfaceChanged,
  more_without_rows: interfaceChanged,
  bug: ({ stream, where }) =>
    step(
      'An error that leadmirror did not foresee: please report it, with its log.',
      `leadmirror sync ${stream} ${where}`,
    ),
  database_mismatch: () =>
    step(
      'See the message: a table of leadmirror was changed or removed, or its database is too old.',
      'leadmirror migrate',
    ),
  database_disk_full: () => step('Free space on the database’s disk; nothing was lost, and runs go on by themselves.'),
};

const BY_STATE: Readonly<Record<StreamState, Advice>> = {
  fresh: () => step('Nothing to do.'),
  syncing: () => step('Nothing to do: rows can be read as they arrive, the stream is whole when the full read ends.'),
  never: ({ stream, where }) =>
    step(
      'It begins by itself while the daemon (leadmirror start) runs with a worker. To read it now:',
      `leadmirror sync ${stream} ${where}`,
    ),
  stale: ({ stream, where }) =>
    step('See that a worker is running (leadmirror start), or run it by hand.', `leadmirror sync ${stream} ${where}`),
  partial: ({ walk }) => step('A full walk finds what is missing.', walk),
  blocked: check('Read the reason, correct it, then run it again.'),
  paused: ({ stream, where }) => step('Resume it when it may go on.', `leadmirror resume ${stream} ${where}`),
};

/** Pure: what to do about a stream in this state. */
export function nextStep(situation: StreamSituation): NextStep {
  const { connectionId, stream, state, code } = situation;
  const where = `--connection ${connectionId}`;
  const walk = `leadmirror sync ${stream} ${situation.isRead ? '--pass reconcile ' : ''}${where}`;
  const words = { stream, where, walk, source: connectionId.split(':')[0] ?? '' };
  if (state === 'fresh' || state === 'paused' || state === 'syncing') return BY_STATE[state](words);
  if (situation.areDeletionsAccepted && (code === 'deletion_brake' || code === 'suddenly_empty')) {
    return step('The deletions are accepted: the next full walk marks them. To have it now:', walk);
  }
  return (BY_CODE[code] ?? BY_STATE[state])(words);
}
