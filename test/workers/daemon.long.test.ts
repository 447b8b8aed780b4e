import { afterAll, describe, it } from '@jest/globals';
import { shareCases } from '../helpers/share.ts';
import { testDaemon } from './daemon.ts';
import { openQueuePlaces } from './queue-places.ts';

const places = await openQueuePlaces();
afterAll(() => places.close());

const { others } = shareCases(places.list, 2);
if (others.length > 0) describe.each(others)('the daemon with its queue in $name', testDaemon);
else it.skip('the daemon with its queue in Redis, where there is none', () => {});
