import { lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { ConfigError } from '../errors.ts';
import { isPrivateAddress } from '../private-address.ts';

/**
 * Refuses private addresses of hosts that may not have one. It is asked for each connection, so a name cannot change
 * its address after it was looked at.
 */
export function createGuardedLookup(isGuarded: (host: string) => boolean): LookupFunction {
  return (hostname, options, callback) =>
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '');
      if (isGuarded(hostname) && addresses.some(({ address }) => isPrivateAddress(address))) {
        return callback(privateAddress(hostname), '');
      }
      const [first] = addresses;
      if (options.all || first === undefined) return callback(null, addresses);
      return callback(null, first.address, first.family);
    });
}

const privateAddress = (host: string): ConfigError =>
  new ConfigError([{ variable: 'CONNECTION_HOSTS', message: `does not name ${host}, and ${PRIVATE}` }]);

const PRIVATE =
  'it is on this machine or in a private network, where an account of the database is mirrored from only when its host is named there';
