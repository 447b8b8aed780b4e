import { describeScale } from './tilkee-size.ts';

/** `TEST_SCALE=5` is a large account: 3,000 projects, 8,000 items, 20,000 links, 60,000 visits. */
describeScale(Number(process.env.TEST_SCALE ?? 1));
