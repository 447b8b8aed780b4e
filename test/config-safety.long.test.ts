import { describe } from '@jest/globals';
import { describeJunk, shapes, testPasted } from './config-safety.ts';

describe('secrets', () => testPasted(shapes.others));

describeJunk(500);
