import { describeWalks } from './walks.ts';

// `npm test` runs the first 300.
describeWalks(301, 1_000);
