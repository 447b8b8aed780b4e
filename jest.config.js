import { availableParallelism } from 'node:os';

/** ESM TypeScript through swc: TypeScript 7 has no JavaScript compiler interface, so types are checked by `tsc`, not here. */
export default {
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // These are for `npm run test:all`, with jest.long.config.js.
  testPathIgnorePatterns: ['/node_modules/', '\\.long\\.test\\.ts$'],
  globalSetup: '<rootDir>/test/helpers/global-setup.js',
  globalTeardown: '<rootDir>/test/helpers/global-teardown.js',
  testSequencer: '<rootDir>/test/helpers/slowest-first.js',
  testEnvironment: '<rootDir>/test/helpers/recorded-environment.js',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' }, sourceMaps: 'inline' },
    ],
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.leadmirror/'],
  // The tests wait for other processes more than they compute: three workers on two cores, where jest alone would use one.
  maxWorkers: Math.ceil(availableParallelism() * 1.5),
  testTimeout: 120_000,
};
