import { describeSize } from './mirror-size.ts';

describeSize({ leads: 10_000, requests: 25_000 });
