import { BlockList, isIP } from 'node:net';

/** Is this host (as URLs write it) this machine? */
export const isLoopback = (hostname: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname);

/**
 * Addresses that a URL given by somebody may not lead to: everything but the public internet. Source: IANA special-purpose address registries
 * (RFC 6890 and its updates), with the ranges that carry an IPv4 address inside an IPv6 one (RFC 4291, 6052, 3056, 4380).
 */
const V4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];
/** of IPv6 only 2000::/3 is given out; these are the parts of it that are not the public internet */
const V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

function listOf(ranges: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = '', prefix = ''] = range.split('/');
    list.addSubnet(network, Number(prefix), family);
  }
  return list;
}
const privateV4 = listOf(V4, 'ipv4');
const privateV6 = listOf(V6, 'ipv6');
const givenOutV6 = listOf(['2000::/3'], 'ipv6');

/** Is this (textual) address one of the public internet? What is no address at all is not. */
export function isPublicAddress(address: string): boolean {
  const plain = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  if (isIP(plain) === 4) return !privateV4.check(plain, 'ipv4');
  if (isIP(plain) !== 6) return false;
  return givenOutV6.check(plain, 'ipv6') && !privateV6.check(plain, 'ipv6');
}
