import type { Findings } from './findings.ts';

/** Invisible characters that editors, web pages and Windows leave in a text. */
const NAMES: Readonly<Record<string, string>> = {
  '\0': 'a NUL character',
  '\t': 'a tab',
  '\n': 'a line end',
  '\r': 'a carriage return',
  '\u00a0': 'a no-break space',
  '\u00ad': 'a soft hyphen',
  '\u200b': 'a zero-width space',
  '\u2060': 'a zero-width joiner (U+2060)',
  '\ufeff': 'a byte order mark',
  '\ufffd': 'what is left of a letter that was not saved as UTF-8',
};

/** Control and format characters, line and paragraph separators, all spaces but the plain one, halves of letters. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\ufffd]|(?! )\p{Zs}/u;

const QUOTED = /^(?:(["'`]).*\1|[\u201c\u201e].*[\u201c\u201d]|[\u2018\u201a].*[\u2018\u2019]|\u00ab.*\u00bb)$/s;

/** Values of examples. */
const PLACEHOLDER = /^(?:(?:please[-_ ]?)?(?:change|replace)[-_ ]?(?:me|this|it)[-_ !.]*)+$|^<[^<>@]*>$/i;

/** Returns a value without what editors leave around it. Other invisible characters are hinted at by name. */
export function tidy(
  text: string,
  { label, keepsSpaces, findings }: { label: string; keepsSpaces: boolean; findings: Findings },
): string {
  const bare = text.replace(/^[\ufeff\r\n]+|[\r\n]+$/g, '');
  const value = keepsSpaces ? bare : bare.trim();
  // One that was taken before may still be replaced.
  if (PLACEHOLDER.test(value) && !label.startsWith('LEADMIRROR_OLD_')) {
    findings.problem(label, 'is still the placeholder of an example; put the real value there');
  }
  if (/:\/\/[^:@/]*:change-?me@/i.test(value)) {
    findings.hint(label, 'has the placeholder of an example as its password; put the real one there');
  }
  if (/^ | $/.test(value))
    findings.hint(label, 'begins or ends with a space, which is kept; remove it if it is not meant');
  if (QUOTED.test(value) && value.length > 1) {
    findings.hint(label, 'is in quotes, which are kept as a part of it; remove them if they are not meant');
  }
  const at = value.search(UNSEEN);
  const found = UNSEEN.exec(value)?.[0];
  if (found !== undefined) {
    const code = `U+${(found.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
    const name = NAMES[found] === undefined ? code : `${NAMES[found]} (${code})`;
    findings.hint(label, `has ${name} as character ${at + 1}; remove it if it is not meant`);
  }
  return value;
}
