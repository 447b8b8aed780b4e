import { isIP } from 'node:net';
import { CronExpressionParser } from 'cron-parser';
import { z } from 'zod';
import { isGuessable } from './guessable.ts';
import { closest } from './suggest.ts';

// One schema per kind of value: text in, value out. No message repeats the text. `first` stops at this problem.

/** A required text. Null stands for one that could not be read: reported already, so its issue has no message. */
export const required = (missing: string) => z.string({ error: ({ input }) => (input === null ? '' : missing) });

export const text = required('is missing');

export const first = (error: string) => ({ error, abort: true });

/** A whole number in decimal digits: no sign, no `1e3`, no `0x10`, nothing behind it. */
export function integer(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return text
    .regex(/^\d{1,9}$/, error)
    .transform(Number)
    .refine((value) => value >= min && value <= max, error);
}

/** Reads seconds, returns milliseconds. */
export const secondsAsMs = (min: number, max: number) => integer(min, max).transform((seconds) => seconds * 1000);

export const share = text
  .regex(/^([01]|0?\.\d{1,9}|1\.0{1,9})$/, 'must be a number from 0 to 1, such as 0.1 for a tenth')
  .transform(Number);

export const flag = text.pipe(
  z.stringbool({
    truthy: ['true', '1', 'yes'],
    falsy: ['false', '0', 'no'],
    error: 'must be true or false (1, 0, yes and no are understood too)',
  }),
);

/** One of a few names, whatever their case. */
export function oneOf<const T extends readonly string[]>(choices: T) {
  return text
    .transform((given) => choices.find((choice) => choice.toLowerCase() === given.toLowerCase()))
    .pipe(z.enum(choices, `must be ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`));
}

/** Null where the work throws. */
export function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}

/** Null where a percent sign stands for nothing (`%zz`) or for no letter (`%ff`). */
export const percentDecoded = (given: string): string | null => attempt(() => decodeURIComponent(given));

export const list = text.transform((given) =>
  given
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
);

/** Only the shell replaces `~`; in `.env` it would name a folder called "~". */
export const folder = text.regex(
  /^[^~\0][^\0]*$/,
  'must be a plain path; "~" is not understood here, write the folder out',
);

export const timeZone = text.refine(
  (name) => attempt(() => new Intl.DateTimeFormat('en', { timeZone: name })) !== null,
  'is not a known time zone; write it like Europe/Rome or UTC',
);

const CRON_FIELDS = ['second', 'minute', 'hour', 'day of month', 'month', 'day of week'];

/** A schedule, checked with the library that will run it. `timezone` must be a valid one. */
export function cron(timezone: string) {
  const isValid = (fields: readonly string[]): boolean =>
    attempt(() => CronExpressionParser.parse(fields.join(' '), { tz: timezone }).hasNext()) === true;
  return text
    .transform((expression) => expression.split(/\s+/))
    .refine(
      ({ length }) => length === 5 || length === 6,
      first('must have five cron fields (minute hour day month weekday), or six with seconds first'),
    )
    .refine(
      // `H` stands for a random value drawn anew at each reading: such a schedule would never keep its rhythm.
      (fields) => !fields.some((field) => /(^|,)H/i.test(field)),
      first('must not use H; write the minute or hour out'),
    )
    .superRefine((fields, context) => {
      if (isValid(fields)) return;
      const names = CRON_FIELDS.slice(-fields.length);
      const wrong = names.filter((_, at) => !isValid(fields.map((field, index) => (index === at ? field : '*'))));
      context.addIssue(
        wrong.length === 0
          ? 'never comes due; look at day and month together'
          : `is not understood as cron, look at: ${wrong.join(', ')}; an example is */5 * * * *`,
      );
    })
    .transform((fields) => fields.join(' '));
}

export const AUTO = 'auto';

export function autoOrCron(timezone: string) {
  const schedule = cron(timezone);
  return text.transform((given, context): string => {
    if (given.toLowerCase() === AUTO) return AUTO;
    const { data, error } = schedule.safeParse(given);
    for (const { message } of error?.issues ?? []) context.addIssue(message);
    return data ?? z.NEVER;
  });
}

/** An address, or a network as `10.0.0.0/8`; never all addresses, since clients could then forge their own. */
export const network = text.refine((given) => {
  const [address = '', bits, ...rest] = given.split('/');
  const version = isIP(address);
  const most = version === 4 ? 32 : 128;
  return (
    version !== 0 &&
    rest.length === 0 &&
    (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= most))
  );
}, 'must be an address or a network such as 10.0.0.0/8');

export const listenHost = text
  .transform((host) => host.replace(/^\[(.*)\]$/, '$1'))
  .refine(
    (host) => isIP(host) !== 0 || /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(host),
    first('must be an address or host name without a port, such as 127.0.0.1 or 0.0.0.0'),
  );

const MAKE_ONE = 'make one with: openssl rand -hex 24';
const GUESSABLE = `is easy to guess; ${MAKE_ONE}`;
export const isShortSecret = (secret: string): boolean => secret.length < 16;

/** A token that fits into a header: the browser could not send any other. */
export const opsToken = ({ isPublic }: { isPublic: boolean }) =>
  text
    .regex(/^[\x21-\x7e]+$/, first('must be plain letters, digits and signs without spaces'))
    .refine(
      (token) => !(isPublic && isShortSecret(token)),
      first(`must be at least 16 characters where other machines are let in; ${MAKE_ONE}`),
    )
    // A short one is only noted where it opens the page on this machine alone.
    .refine((token) => isShortSecret(token) || !isGuessable(token), GUESSABLE);

export const secretKey = text
  .refine((key) => !isShortSecret(key), first(`must be at least 16 characters; ${MAKE_ONE}`))
  .refine((key) => !isGuessable(key), GUESSABLE);

/** A host as an address names it, without port: `tiledesk.internal`, `10.1.2.3`, `[fd00::1]`. */
export const hostName = text
  .transform((given) => attempt(() => new URL(`https://${isIP(given) === 6 ? `[${given}]` : given}`)))
  .refine(
    (url) => url !== null && url.href === `https://${url.hostname}/`,
    'must be the name or address of a host, without port and path',
  )
  .transform((url) => url?.hostname ?? '');

/** A text that names us in a header. */
export const headerValue = text.regex(
  /^[\x21-\x7e]([\x20-\x7e]{0,98}[\x21-\x7e])?$/,
  'must be up to 100 plain letters, digits and signs: it is sent in a header',
);

/** Part of job ids and web addresses; a dot is what job ids are joined with. */
export const connectionId = text.regex(
  /^[a-z0-9][a-z0-9:_-]{0,63}$/i,
  'must be up to 64 letters, digits, "-", "_" or ":", such as tiledesk:shop',
);

/** Some of the known names, comma separated, each once. With `none`, that name alone stands for an empty list. */
export function someOf<const T extends readonly string[]>(
  choices: T,
  { noun, none = false }: { noun: string; none?: boolean },
) {
  const known: readonly string[] = none ? [...choices, 'none'] : choices;
  const knownOnes = `known are ${known.join(', ')}`;
  return list
    .transform((items) => [...new Set(items)])
    .superRefine((items, context) => {
      if (items.length === 0) context.addIssue(`names no ${noun}; ${knownOnes}`);
      if (none && items.length > 1 && items.includes('none')) {
        context.addIssue('has "none" beside other names; keep either');
      }
      for (const [index, item] of items.entries()) {
        if (known.includes(item)) continue;
        const meant = closest(item, known);
        const advice = meant === null ? `; ${knownOnes}` : `, did you mean "${meant}"?`;
        context.addIssue(`entry ${index + 1} is not a ${noun}${advice}`);
      }
    })
    .transform((items) => (none ? items.filter((item) => item !== 'none') : items))
    .pipe(z.array(z.enum(choices)));
}

/** Several values, comma separated, each checked by itself: a problem names the value. */
export const eachOf = <T>(value: z.ZodType<T, string>, missing: string) =>
  list
    .refine(({ length }) => length > 0, first(missing))
    .transform((items, context) =>
      items.map((item, index) => {
        const { data, error } = value.safeParse(item);
        for (const { message } of error?.issues ?? []) {
          context.addIssue(items.length === 1 ? message : `entry ${index + 1} ${message}`);
        }
        return data ?? z.NEVER;
      }),
    );

export const streamNames = eachOf(
  text.regex(/^(none|[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)$/, 'must be the name of a stream, such as tiledesk.requests'),
  'names no stream',
).transform((names) => names.filter((name) => name !== 'none'));
