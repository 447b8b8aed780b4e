import { z } from 'zod';
import { type FieldPolicy, type FieldRule, PRIVACY_PRESETS } from '../stream.ts';
import type { Config } from './types.ts';
import { eachOf, someOf, text } from './values.ts';

/** How fields of an account are stored: each of its own settings wins over that of all accounts. */
export const policyOf = (
  { privacy, connections }: Pick<Config, 'privacy' | 'connections'>,
  id: string,
): FieldPolicy => ({
  ...privacy.policy,
  ...connections.find((connection) => connection.id === id)?.privacy,
});

export const privacyPresets = someOf(PRIVACY_PRESETS, { noun: 'preset', none: true });

const RULE = /^([a-z][\w-]*\.[a-z][\w-]*)\.([\w-]+(?:\.[\w-]+)*)=(drop|pseudonym|keep)$/i;

/** `tiledesk.leads.note=drop`, several comma separated. */
export const privacyFields = eachOf(
  text.transform((given, context): FieldRule => {
    const [, stream, path, action] = RULE.exec(given) ?? [];
    if (stream === undefined || path === undefined || action === undefined) {
      context.addIssue(
        'must be a stream, a field and what to do with it, such as tiledesk.leads.note=drop; or =pseudonym, or =keep',
      );
      return z.NEVER;
    }
    return { stream, path: path.split('.'), action: action as FieldRule['action'] };
  }),
  'names no field',
);
