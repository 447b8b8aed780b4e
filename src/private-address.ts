import { BlockList, isIP, isIPv4 } from 'node:net';

/** Networks that are not of the internet: this machine, local ones, link-local ones with the metadata of clouds, multicast, and what translates to them. */
const NETWORKS = new BlockList();
for (const network of [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4'],
  ...['::/96', '64:ff9b::/96', '64:ff9b:1::/48', '2002::/16', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8'],
]) {
  const [address = '', bits] = network.split('/');
  NETWORKS.addSubnet(address, Number(bits), isIPv4(address) ? 'ipv4' : 'ipv6');
}

export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/^\[(.*)\]$/, '$1').replace(/%.*$/, '');
  // Mapped addresses of IPv4 are compared as such by BlockList.
  return isIP(bare) !== 0 && NETWORKS.check(bare, isIPv4(bare) ? 'ipv4' : 'ipv6');
}

/** Names that only a local network resolves. Others are looked at when they are resolved. */
const LOCAL_NAME = /^[^.]+\.?$|\.(localhost|local|internal|intranet|lan|home|corp|home\.arpa)\.?$/i;

/** Whether a host, as the URL class gives it, is not one of the internet. */
export function isPrivateHost(host: string): boolean {
  if (isPrivateAddress(host)) return true;
  return isIP(host.replace(/^\[(.*)\]$/, '$1')) === 0 && LOCAL_NAME.test(host);
}
