/** Texts that examples and manuals use. None consists of others: the expression would take for ever. */
const GUESSABLE =
  /^(?:change|replace|insert|please|me|this|it|my|your|the|is|secret|password|passwort|passwd|pass|pwd|token|admin|administrator|root|user|test|testing|example|sample|demo|default|leadmirror|ops|key|qwerty|qwertz|azerty|asdf|letmein|welcome|foo|bar|baz|hello|world|abc|xyz|dev|local|placeholder|here)*$/;

const ROWS = [
  'abcdefghijklmnopqrstuvwxyz',
  '01234567890123456789',
  'qwertyuiopasdfghjklzxcvbnm',
  'qwertzuiopasdfghjklyxcvbnm',
];
const SEQUENCES = [...ROWS, `${ROWS[1]}${ROWS[0]}`, '0123456789abcdef', '12345678901234567890'].flatMap((row) => [
  row + row + row,
  [...(row + row + row)].reverse().join(''),
]);

const FEWEST_CHARACTERS = 6;

/** Whether a secret is easy to guess: few different characters, a repetition, a sequence, or texts of examples only. */
export function isGuessable(secret: string): boolean {
  const lower = secret.toLowerCase();
  const bare = lower.replace(/[^\p{L}\p{N}]+/gu, '');
  return (
    new Set(lower).size < FEWEST_CHARACTERS ||
    /^(.{1,8})\1+$/s.test(lower) ||
    SEQUENCES.some((sequence) => sequence.includes(bare)) ||
    (GUESSABLE.test(bare.replace(/\p{N}+/gu, '')) && /\p{L}/u.test(bare))
  );
}
