/**
 * Writes the digest behind the version of every image in docker-compose.yml and Dockerfile: `redis:7.4-bookworm` becomes
 * `redis:7.4-bookworm@sha256:...`, as the image's registry answers. What cannot be looked up stays as it is; no digest is ever made up.
 *
 *     node deploy/pin-images.js [--check] [file...]
 *
 * With --check nothing is written. Ends with 1 when an image could not be looked up, or, with --check, is not pinned to what its registry has.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const FILES = ['docker-compose.yml', 'Dockerfile'].map((name) => fileURLToPath(new URL(`../${name}`, import.meta.url)));

const IMAGE =
  /^(\s*image:\s*|FROM\s+)([a-z0-9][\w./-]*(?::\d+\/[\w./-]+)?:[\w][\w.-]*)(@sha256:[0-9a-f]{64})?(?=\s|$)/gm;

const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

const TIMEOUT_MS = 20_000;

/** `redis:7.4` is Docker Hub's `library/redis`; a first part with a dot or a port is a registry's name. */
export function parseImage(image) {
  const at = image.lastIndexOf(':');
  const [name, tag] = [image.slice(0, at), image.slice(at + 1)];
  const [host, ...path] = name.split('/');
  if (path.length > 0 && /[.:]|^localhost$/.test(host)) return { registry: host, repository: path.join('/'), tag };
  return { registry: 'registry-1.docker.io', repository: path.length === 0 ? `library/${name}` : name, tag };
}

/** The digest that the registry has for this image; throws with the reason when it has none. */
export async function findDigest(image, ask = fetch) {
  const { registry, repository, tag } = parseImage(image);
  const url = `https://${registry}/v2/${repository}/manifests/${tag}`;
  const options = { method: 'HEAD', headers: { accept: ACCEPT }, signal: AbortSignal.timeout(TIMEOUT_MS) };
  let answer = await ask(url, options);
  if (answer.status === 401) {
    const token = await askForToken(answer.headers.get('www-authenticate') ?? '', ask);
    answer = await ask(url, { ...options, headers: { accept: ACCEPT, authorization: `Bearer ${token}` } });
  }
  const digest = answer.headers.get('docker-content-digest') ?? '';
  if (answer.ok && /^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
  throw new Error(answer.ok ? 'the registry gave no digest' : `the registry answered with status ${answer.status}`);
}

async function askForToken(challenge, ask) {
  const fields = Object.fromEntries(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
  );
  if (!/^Bearer /i.test(challenge) || !fields.realm?.startsWith('https://'))
    throw new Error('the registry asks for a sign-in');
  const url = new URL(fields.realm);
  for (const name of ['service', 'scope']) if (fields[name] !== undefined) url.searchParams.set(name, fields[name]);
  const answer = await ask(url.href, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const { token, access_token: accessToken } = answer.ok ? await answer.json() : {};
  if (token ?? accessToken) return token ?? accessToken;
  throw new Error('the registry gave no token');
}

/** The text with all images pinned that were found, and what is to be reported of each. */
export async function pinImages(text, find = findDigest) {
  const images = [...new Set([...text.matchAll(IMAGE)].map(([, , image]) => image))];
  const found = new Map();
  const failures = [];
  for (const image of images) {
    try {
      found.set(image, await find(image));
    } catch (error) {
      const cause = error.cause instanceof Error ? error.cause.message : '';
      failures.push(`${image}: ${error.message}${cause === '' ? '' : ` (${cause})`}`);
    }
  }
  const pinned = text.replace(IMAGE, (whole, before, image) => {
    const digest = found.get(image);
    return digest === undefined ? whole : `${before}${image}@${digest}`;
  });
  return { pinned, found, failures };
}

async function main(args) {
  const isCheck = args.includes('--check');
  const named = args.filter((arg) => !arg.startsWith('--'));
  for (const path of named.length > 0 ? named : FILES) {
    const text = await readFile(path, 'utf8');
    const { pinned, found, failures } = await pinImages(text);
    for (const [image, digest] of found) console.log(`${image}@${digest}`);
    for (const failure of failures) console.error(`Not looked up, left as it is: ${failure}`);
    const isOld = pinned !== text;
    if (failures.length > 0 || (isCheck && isOld)) process.exitCode = 1;
    if (isOld && isCheck) console.error(`${path} is not pinned to these digests.`);
    else if (isOld) await writeFile(path, pinned);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
