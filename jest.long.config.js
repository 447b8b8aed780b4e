import config from './jest.config.js';

/** What `npm test` leaves out because it takes long: chaos, kills, outages, large mirrors, fuzzing, short benchmarks, and all cases where `npm test` runs some. */
export default {
  ...config,
  testMatch: ['<rootDir>/test/**/*.long.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
