/** Everything about the simulated Tilkee that nobody could check on a live server: one switch each, changeable while it runs. */

/** Names of the calls, as in the log, in `refuse` and in the rules of the faults. */
export type TilkeeCallName =
  | 'oauth'
  | 'v3.me'
  | 'v3.items'
  | 'v3.projects'
  | 'v3.project'
  | 'v2.me'
  | 'v2.users'
  | 'v2.items'
  | 'v2.projects'
  | 'v2.project'
  | 'v2.projectTokens'
  | 'v2.token'
  | 'v2.projectConnexions'
  | 'v2.connexion'
  | 'v2.tokens'
  | 'v2.connexions';

export interface TilkeeSwitches {
  /** Order of a list when the call asks for none (V3 has no other). `shuffled` is a fixed permutation, `random` a new one at every query. */
  order: 'newest' | 'oldest' | 'byUpdate' | 'shuffled' | 'random';
  /** Whether V2 obeys `order` and `sort`; the echo tells what was done. */
  obeysOrder: boolean;
  /** Calls that are answered with this status instead, after authentication. */
  refuse: Partial<Record<TilkeeCallName, number>>;

  /** V3 lists: what `has_more` says. `emptyAtEnd`: true on the last page with rows, false on the empty one after it; `always`: true on that one too. */
  hasMore: 'right' | 'missingOnLast' | 'missing' | 'emptyAtEnd' | 'always';
  v3MaxLimit: number;
  /** A larger limit is cut down silently, or refused. */
  v3LimitTooLarge: 'cap' | '422';
  v3BareArrays: boolean;
  /** `repeated`: a comma is refused with 422. `csv`: of repeated keys only the last counts. */
  expandForm: 'repeated' | 'csv' | 'any';
  createdBounds: 'inclusive' | 'exclusive';
  v3TimesHaveOffset: boolean;
  v3ProjectsHoldTemplates: boolean;

  v2MaxLimit: number;
  /** Whether V2 tells the limit it applied. */
  v2EchoesLimit: boolean;
  v2Total: 'number' | 'string' | 'object' | 'null' | 'missing' | 'wrong';
  v2BareArrays: boolean;
  /** An empty `contents` is `[]`, or `""`. */
  v2EmptyContents: 'array' | 'text';
  /** Without `is_template` and without `status`. */
  v2ProjectsHoldTemplates: boolean;
  v2ProjectsHoldArchived: boolean;
  /** Without `archived_tokens`. */
  tokensListHoldsArchived: boolean;
  startDateUnit: 's' | 'ms';
  /** How a visit names its link and its project. `both`: `token_id` and `project: {id}`. */
  visitsName: 'none' | 'token_id' | 'token_object' | 'project_object' | 'both';

  idsAsStrings: boolean;
  numbersAsStrings: boolean;
  /** `first_access_at` of what nobody opened is false instead of null. */
  firstAccessFalse: boolean;
  durationAsString: boolean;
  interestNull: boolean;
  unknownFields: boolean;
  /** The oldest row of each kind has no `id`, in lists. */
  rowWithoutId: boolean;
  /** What a read by id says of an object that was removed. */
  removedStatus: 404 | 410;

  /** Life of the access tokens given out from now on; V2's own live as long. null: 12 hours on V3, 2 hours on V2. */
  expiresInSeconds: number | null;
  oauthBody: 'any' | 'form' | 'json';
  /** Whether password and refresh grants need client id and secret; wrong ones are refused anyway. */
  clientRequired: boolean;
  refresh: 'rotate' | 'keep' | 'omit' | 'fail401' | 'fail400';
  /** PKCE, when the browser's address asked for it: the code is worth nothing without; ignored; an unknown field. */
  pkce: 'honoured' | 'ignored' | 'refused';
  v2TakesV3Tokens: boolean;
  tilkRefRequired: boolean;
  v2Unauthorized: 'json' | 'html' | 'text' | 'empty';
}

export const defaultSwitches = (): TilkeeSwitches => ({
  order: 'newest',
  obeysOrder: true,
  refuse: {},
  hasMore: 'right',
  v3MaxLimit: 100,
  v3LimitTooLarge: 'cap',
  v3BareArrays: false,
  expandForm: 'repeated',
  createdBounds: 'inclusive',
  v3TimesHaveOffset: true,
  v3ProjectsHoldTemplates: false,
  v2MaxLimit: 100,
  v2EchoesLimit: true,
  v2Total: 'number',
  v2BareArrays: false,
  v2EmptyContents: 'array',
  v2ProjectsHoldTemplates: false,
  v2ProjectsHoldArchived: false,
  tokensListHoldsArchived: false,
  startDateUnit: 's',
  visitsName: 'none',
  idsAsStrings: false,
  numbersAsStrings: false,
  firstAccessFalse: false,
  durationAsString: false,
  interestNull: false,
  unknownFields: false,
  rowWithoutId: false,
  removedStatus: 404,
  expiresInSeconds: null,
  oauthBody: 'any',
  clientRequired: false,
  refresh: 'rotate',
  pkce: 'honoured',
  v2TakesV3Tokens: true,
  tilkRefRequired: false,
  v2Unauthorized: 'json',
});
