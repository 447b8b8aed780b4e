import { describeOffsetWalks } from './offset.ts';

describeOffsetWalks(12);
