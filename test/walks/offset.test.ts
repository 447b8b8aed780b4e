import { describeOffsetWalks } from './offset.ts';

describeOffsetWalks(6);
