import type { Config } from './types.ts';
import type { VariableName } from './variables.ts';

/** A default that a data protection officer would change. */
export interface PrivacyAdvice {
  readonly variable: VariableName;
  readonly because: string;
  readonly line: string;
}

/** What is still at its default. Nothing of it is an error: nothing is removed that was not asked for. */
export function privacyAdvice({
  privacy,
  retention,
  privacyJournal,
  secretKey,
}: Pick<Config, 'privacy' | 'retention' | 'privacyJournal' | 'secretKey'>): readonly PrivacyAdvice[] {
  const { presets, fields } = privacy.policy;
  const advice: readonly (PrivacyAdvice & { readonly isDue: boolean })[] = [
    {
      variable: 'PRIVACY_PRESET',
      because: 'names, addresses, numbers and texts are stored as they come',
      line: 'PRIVACY_PRESET=contact,texts',
      isDue: presets.length === 0 && fields.length === 0,
    },
    {
      variable: 'PRIVACY_UPSTREAM_DELETED',
      because: 'rows that are gone upstream are kept for ever',
      line: 'PRIVACY_UPSTREAM_DELETED=30',
      isDue: retention.upstreamDeletedDays === null,
    },
    {
      variable: 'PRIVACY_RETENTION',
      because: 'rows stay however long ago the last contact was',
      line: 'PRIVACY_RETENTION=tiledesk.leads last_contact 36 months erase',
      isDue: retention.rules.length === 0,
    },
    {
      variable: 'PRIVACY_JOURNAL',
      because: 'no person can be erased, as erasures have no journal',
      line: 'PRIVACY_JOURNAL=/var/lib/leadmirror-journal/erasures.jsonl',
      isDue: privacyJournal === null,
    },
    {
      variable: 'LEADMIRROR_SECRET_KEY',
      because: 'no person can be erased and no pseudonym made without it',
      line: 'LEADMIRROR_SECRET_KEY=<the output of: openssl rand -hex 32>',
      isDue: secretKey === null,
    },
  ];
  return advice.filter(({ isDue }) => isDue).map(({ isDue: _, ...one }) => one);
}
