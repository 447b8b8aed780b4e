import type { TableSpec } from '../stream.ts';
import { ACTIVITIES } from './tiledesk/activities.ts';
import { LEADS } from './tiledesk/leads.ts';
import { MESSAGES } from './tiledesk/messages.ts';
import { REQUESTS } from './tiledesk/requests.ts';
import { BOTS, DEPARTMENTS, GROUPS, PROJECT_USERS, TAGS } from './tiledesk/short-lists.ts';
import { CONNEXIONS, itemsOf, projectsOf, TOKENS, USERS } from './tilkee/rows.ts';

/** The tables of all built-in streams, also of those that are not configured: their rows may be from before. */
export const BUILT_IN_TABLES: readonly TableSpec[] = [
  ...[LEADS, REQUESTS, MESSAGES, DEPARTMENTS, PROJECT_USERS, BOTS, GROUPS, TAGS, ACTIVITIES],
  ...[projectsOf('v3'), itemsOf('v3'), TOKENS, CONNEXIONS, USERS],
].map(({ table }) => table);
