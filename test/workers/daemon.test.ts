import { afterAll, describe } from '@jest/globals';
import { shareCases } from '../helpers/share.ts';
import { testDaemon } from './daemon.ts';
import { openQueuePlaces } from './queue-places.ts';

const places = await openQueuePlaces();
afterAll(() => places.close());

// Postgres, which is there on every machine.
describe.each(shareCases(places.list, 2).some)('the daemon with its queue in $name', testDaemon);
