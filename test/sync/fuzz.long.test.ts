import { describePayloads } from './fuzz.ts';

/** `FUZZ=10000` sends more. */
describePayloads(Number(process.env.FUZZ ?? 2000));
