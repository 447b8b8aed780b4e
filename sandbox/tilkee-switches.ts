/** What was not checked on a live Tilkee: one switch each, changeable while it runs. */

/** Names of the calls, as in the log, in `refuse` and in the rules of the faults. */
export type TilkeeCallName =
  | 'oauth'
  | `v3.${'me' | 'items' | 'projects' | 'project'}`
  | `v2.${'me' | 'users' | 'items' | 'projects' | 'project' | 'tokens' | 'token' | 'connexions' | 'connexion'}`
  | `v2.project${'Tokens' | 'Connexions'}`;

export type TilkeeSwitches = ReturnType<typeof defaultSwitches>;

/** Of the values between which a switch chooses, the first is the default. */
const one = <const T>(...values: readonly [T, ...(readonly T[])]): T => values[0];

export const defaultSwitches = () => ({
  /** Where the call asks for none (V3 has no other). `shuffled` is a fixed order, `random` a new one at every query. */
  order: one('newest', 'oldest', 'byUpdate', 'shuffled', 'random'),
  /** Whether V2 obeys `order` and `sort`; the response contains what was done. */
  obeysOrder: true,
  /** Calls that are answered with this status instead, after authentication. */
  refuse: {} as Partial<Record<TilkeeCallName, number>>,

  /** `emptyAtEnd`: true on the last page with rows; `always`: on the empty one after it, too. */
  hasMore: one('right', 'missingOnLast', 'missing', 'emptyAtEnd', 'always'),
  v3MaxLimit: 100,
  v3LimitTooLarge: one('cap', '422'),
  v3BareArrays: false,
  /** `repeated`: a comma is refused with 422. `csv`: of repeated keys only the last counts. */
  expandForm: one('repeated', 'csv', 'any'),
  createdBounds: one('inclusive', 'exclusive'),
  v3TimesHaveOffset: true,
  v3ProjectsHoldTemplates: false,

  v2MaxLimit: 100,
  v2RepeatsLimit: true,
  v2Total: one('number', 'string', 'object', 'null', 'missing', 'wrong'),
  v2BareArrays: false,
  v2EmptyContents: one('array', 'text'),
  /** Without `is_template` and without `status`. */
  v2ProjectsHoldTemplates: false,
  v2ProjectsHoldArchived: false,
  /** Without `archived_tokens`. */
  tokensListHoldsArchived: false,
  startDateUnit: one('s', 'ms'),
  /** How a visit names its link and its project. `both`: `token_id` and `project: {id}`. */
  visitsName: one('none', 'token_id', 'token_object', 'project_object', 'both'),

  idsAsStrings: false,
  numbersAsStrings: false,
  firstAccessFalse: false,
  durationAsString: false,
  interestNull: false,
  unknownFields: false,
  /** The oldest row of each kind has no `id`, in lists. */
  rowWithoutId: false,
  /** What a read by id returns for an object that was removed. */
  removedStatus: one(404, 410),

  /** Life of the access tokens given out from now on; V2's own live as long. null: 12 hours on V3, 2 hours on V2. */
  expiresInSeconds: null as number | null,
  oauthBody: one('any', 'form', 'json'),
  /** Whether password and refresh grants need client id and secret; wrong ones are refused anyway. */
  clientRequired: false,
  refresh: one('rotate', 'keep', 'omit', 'fail401', 'fail400'),
  /** PKCE, when the browser's address asked for it: the code is worth nothing without; ignored; an unknown field. */
  pkce: one('honoured', 'ignored', 'refused'),
  v2TakesV3Tokens: true,
  tilkRefRequired: false,
  v2Unauthorized: one('json', 'html', 'text', 'empty'),
});
