import fc from 'fast-check';

/**
 * fast-check, with a seed that is the same for every run in CI: there a change is judged, not luck. Elsewhere each run looks somewhere else; PROPERTY_SEED
 * chooses, and a failure prints the seed that it was found with.
 */
const seed = process.env.PROPERTY_SEED ?? (process.env.CI ? '1' : undefined);
if (seed !== undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) });

export default fc;
