import { z } from 'zod';
import type { RetentionRule } from '../stream.ts';
import { closest } from './suggest.ts';
import { TILEDESK_STREAM_NAMES } from './tiledesk.ts';
import { TILKEE_STREAM_NAMES } from './tilkee.ts';
import { eachOf, text } from './values.ts';

const RULE =
  /^([a-z][a-z0-9_]*\.[a-z][a-z0-9_]*) +(created|closed|last_contact|deleted_upstream) +([1-9]\d{0,3} (?:day|month|year)s?) +(erase|texts)$/;

const BUILT_IN = [
  ...TILEDESK_STREAM_NAMES.map((name) => `tiledesk.${name}`),
  ...TILKEE_STREAM_NAMES.map((name) => `tilkee.${name}`),
];

/** Streams whose rows are persons, and streams that can be closed. */
const STREAMS: Partial<Record<RetentionRule['since'], readonly string[]>> = {
  last_contact: ['tiledesk.leads', 'tilkee.tokens'],
  closed: ['tiledesk.requests'],
};

const WITH_TEXTS = ['leads', 'requests', 'messages'].map((name) => `tiledesk.${name}`);
const TEXTS: readonly string[] = [...WITH_TEXTS, 'tilkee.tokens', 'tilkee.connexions'];

/** `tiledesk.leads last_contact 36 months erase`, several comma separated. */
export const retentionRules = eachOf(
  text.transform((given, context): RetentionRule => {
    const [, stream, since, after, what] = RULE.exec(given.replace(/\s+/g, ' ')) ?? [];
    if (stream === undefined || since === undefined || after === undefined || what === undefined) {
      context.addIssue(
        'must be a stream, since when, how long and what to do, such as "tiledesk.leads last_contact 36 months erase"; since created, closed, last_contact or deleted_upstream; days, months or years; erase or texts',
      );
      return z.NEVER;
    }
    const rule = { stream, since, after, do: what } as RetentionRule;
    if (/^(tiledesk|tilkee)\./.test(stream) && !BUILT_IN.includes(stream)) {
      const meant = closest(stream, BUILT_IN);
      context.addIssue(`names no stream${meant === null ? '' : `, did you mean ${meant}?`}`);
      return z.NEVER;
    }
    const possible = STREAMS[rule.since] ?? [stream];
    if (!possible.includes(stream)) {
      context.addIssue(`counts since ${since}, which only rows of ${possible.join(' and ')} have`);
    }
    if (what === 'texts' && !TEXTS.includes(stream)) {
      context.addIssue(`wants to remove texts, which only rows of ${TEXTS.join(', ')} have`);
    }
    return rule;
  }),
  'names no rule',
);
