import { addressMark, addressOf, marksIn, numberMark, numberOf } from '../../store/privacy/marks.ts';

/** What a person has to look at before an export is handed over: it may be about another person. */
export interface ReviewLine {
  readonly table: string;
  readonly connection_id: string;
  readonly id: string;
  /** Where in the row: `raw.notes.0.text`. */
  readonly field: string;
  readonly why: ReviewReason;
}

/** `internal_note`: a colleague wrote it, not for the person. `other_contact`: an address or number of another one. */
type ReviewReason = 'internal_note' | 'colleague' | 'other_contact';

export interface ReviewParts {
  /** Marks of the person's own addresses and numbers. */
  readonly own: ReadonlySet<string>;
  /** Names of colleagues, in lower case. */
  readonly colleagues: readonly string[];
  /** Fields of the table, and of the records that it is mapped from, that colleagues write for themselves. */
  readonly notes: readonly string[];
}

/** Names within texts that are no colleague's are not recognised. */
export function reviewRow(row: unknown, { own, colleagues, notes }: ReviewParts): Pick<ReviewLine, 'field' | 'why'>[] {
  return [...textsIn(row, '')].flatMap(({ field, text }) => {
    const why: ReviewReason[] = [];
    if (notes.some((note) => `${field}.`.startsWith(`${note}.`) || `${field}.`.startsWith(`raw.${note}.`))) {
      why.push('internal_note');
    }
    const lower = text.toLowerCase();
    if (colleagues.some((name) => lower.includes(name))) why.push('colleague');
    if (contactsIn(text).some((mark) => !own.has(mark))) why.push('other_contact');
    return why.map((reason) => ({ field, why: reason }));
  });
}

/** Numbers only where the text is more than an id or a date. */
function contactsIn(text: string): string[] {
  if (/^\d{4}-\d\d-\d\d/.test(text)) return [];
  if (/\s/.test(text)) return marksIn(text);
  const address = addressOf(text);
  const number = text.startsWith('+') ? numberOf(text) : null;
  return [...(address === null ? [] : [addressMark(address)]), ...(number === null ? [] : [numberMark(number)])];
}

function* textsIn(value: unknown, field: string): Generator<{ readonly field: string; readonly text: string }> {
  if (typeof value === 'string') {
    if (value !== '') yield { field, text: value };
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value)) yield* textsIn(inner, field === '' ? name : `${field}.${name}`);
}
