import fc from 'fast-check';

/** What everything random in the tests begins with: the same at each run, so that a change is judged and not luck. PROPERTY_SEED=<n> looks somewhere else. */
export const seed = Number(process.env.PROPERTY_SEED ?? 1);

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });

/** fast-check with this seed. */

export default fc;
