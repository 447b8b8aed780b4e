import { pino } from 'pino';
import type { Logger } from '../../src/logger.ts';

/** A logger that nobody reads, for parts that want one. It takes every level and no redaction helps it: what is searched at the end is all they said. */
export function unheardLogger(): Logger {
  return pino({ level: 'trace', base: null }, { write: () => {} });
}
