import { describePayloads } from './fuzz.ts';

describePayloads(200);
