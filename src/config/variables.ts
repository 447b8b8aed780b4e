import { SETTINGS } from './settings.ts';

/** All variables with their defaults; a test compares them with docs/configuration.md and .env.example. */
export interface Variable {
  readonly name: string;
  /** The text that an unset variable stands for; null when there is none. */
  readonly default: string | null;
  readonly secret?: true;
}

type VariableEntry = Omit<Variable, 'name'>;

const preset = (value: string): VariableEntry => ({ default: value });
const unset: VariableEntry = { default: null };
const secret: VariableEntry = { default: null, secret: true };

/** The settings of accounts, whose schemas are in tiledesk.ts and tilkee.ts. */
const ACCOUNTS = {
  // Tiledesk
  TILEDESK_PROJECT_ID: unset,
  TILEDESK_EMAIL: secret,
  TILEDESK_PASSWORD: secret,
  TILEDESK_TOKEN: secret,
  TILEDESK_AUTH: preset('jwt'),
  TILEDESK_BASE_URL: preset('https://api.tiledesk.com/v3'),
  TILEDESK_STREAMS: preset('leads,requests,departments,project_users'),
  TILEDESK_REQUESTS_PER_MINUTE: preset('200'),
  TILEDESK_REQUESTS_PER_DAY: unset,
  TILEDESK_PAGE_SIZE: preset('100'),
  TILEDESK_MAX_PAGE_SIZE: preset('1000'),
  TILEDESK_SCAN_KEY: preset('_id'),
  TILEDESK_ALLOW_CUSTOM_ROLE: preset('false'),

  // Tilkee
  TILKEE_USERNAME: secret,
  TILKEE_PASSWORD: secret,
  TILKEE_CLIENT_ID: unset,
  TILKEE_CLIENT_SECRET: secret,
  TILKEE_REFRESH_TOKEN: secret,
  TILKEE_ACCESS_TOKEN: secret,
  TILKEE_ENV: preset('production'),
  TILKEE_V3_URL: unset,
  TILKEE_V2_URL: unset,
  TILKEE_AUTH_URL: unset,
  TILKEE_APP_URL: unset,
  TILKEE_AUTH_BODY: preset('form'),
  TILKEE_SCOPE: unset,
  TILKEE_STREAMS: preset('projects,items,tokens,connexions,users'),
  TILKEE_PROJECTS_API: preset('v3'),
  TILKEE_REQUESTS_PER_MINUTE: preset('100'),
  TILKEE_REQUESTS_PER_DAY: unset,
  TILKEE_PAGE_SIZE: preset('50'),
  TILKEE_REF: preset('leadmirror'),
  TILKEE_INCLUDE: preset('templates,archived_projects,archived_tokens'),
  TILKEE_ARRAY_PARAMS: preset('repeat'),
  TILKEE_TIME_UNIT: preset('s'),
  TILKEE_VISITS_BY: preset('auto'),
  TILKEE_ORDER_BY_UPDATE: preset('false'),
  TILKEE_ACT_AS: unset,
} satisfies Readonly<Record<string, VariableEntry>>;

const TABLE = { ...ACCOUNTS, ...SETTINGS };

export type VariableName = keyof typeof TABLE;

export const VARIABLES: readonly Variable[] = Object.entries<VariableEntry>(TABLE).map(([name, entry]) => ({
  name,
  default: entry.default,
  ...(entry.secret && { secret: entry.secret }),
}));

const DEFAULTS = new Map(VARIABLES.map((entry) => [entry.name, entry.default]));

export const defaultOf = (name: string): string | undefined => DEFAULTS.get(name) ?? undefined;
