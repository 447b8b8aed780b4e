import type { FieldPolicy } from '../stream.ts';
import type { Config } from './types.ts';

/** A default that a data protection officer would change. */
export interface PrivacyAdvice {
  readonly variable: string;
  readonly because: string;
  readonly line: string;
}

/** What is still at its default. Nothing of it is an error: nothing is removed that was not asked for. */
export function privacyAdvice(config: Config): readonly PrivacyAdvice[] {
  const { connections, privacy, retention, privacyJournal, secretKey } = config;
  const isOpen = ({ presets = privacy.policy.presets, fields = privacy.policy.fields }: Partial<FieldPolicy>) =>
    presets.length === 0 && fields.length === 0;
  const advice = [
    {
      because: 'names, addresses, numbers and texts are stored as they come',
      line: 'PRIVACY_PRESET=contact,texts',
      isDue: connections.length === 0 ? isOpen({}) : connections.some((one) => isOpen(one.privacy ?? {})),
    },
    {
      because: 'rows that are gone upstream are kept for ever',
      line: 'PRIVACY_UPSTREAM_DELETED=30',
      isDue: retention.upstreamDeletedDays === null,
    },
    {
      because: 'rows stay however long ago the last contact was',
      line: 'PRIVACY_RETENTION=tiledesk.leads last_contact 36 months erase',
      isDue: retention.rules.length === 0,
    },
    {
      because: 'no person can be erased, as erasures have no journal',
      line: 'PRIVACY_JOURNAL=/var/lib/leadmirror-journal/erasures.jsonl',
      isDue: privacyJournal === null,
    },
    {
      because: 'no person can be erased and no pseudonym made without it',
      line: 'LEADMIRROR_SECRET_KEY=<the output of: openssl rand -hex 32>',
      isDue: secretKey === null,
    },
  ];
  return advice.flatMap(({ isDue, line, because }) =>
    isDue ? [{ variable: line.replace(/=.*/, ''), because, line }] : [],
  );
}
