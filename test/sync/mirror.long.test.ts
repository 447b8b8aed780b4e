import { describeSize } from './mirror-size.ts';

describeSize({ leads: 5_000, requests: 12_000 });
