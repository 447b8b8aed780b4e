import { availableParallelism } from 'node:os';
import config from './jest.config.js';

/** What `npm test` leaves out because it takes long: chaos, kills, outages, large mirrors, fuzzing, short benchmarks, and all cases where `npm test` runs some. */
export default {
  ...config,
  // They wait even more: for outages, leases and time limits of other processes.
  maxWorkers: availableParallelism() * 2,
  testMatch: ['<rootDir>/test/**/*.long.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
