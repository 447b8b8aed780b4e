import { isIP } from 'node:net';

/** Returns whether a host can only be this machine. Takes it as written, or as the URL class gives it (`[::1]`). */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}
