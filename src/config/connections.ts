import type { z } from 'zod';
import { counted } from '../counted.ts';
import type { AccountRules, AccountSource } from './account-source.ts';
import { entryKeysOf, SOURCES } from './account-sources.ts';
import { CONNECTIONS_FILE } from './connections-file.ts';
import type { FileEntry } from './entry.ts';
import { type Environment, type Given, textOf } from './environment.ts';
import type { Findings, Label } from './findings.ts';
import { privacyFields, privacyPresets } from './privacy.ts';
import { createScheduleReader } from './schedules.ts';
import { readStored, type StoredEntry } from './stored.ts';
import type { ConnectionConfig } from './types.ts';
import { flag, text } from './values.ts';

interface ConnectionContext {
  readonly environment: Environment;
  readonly findings: Findings;
  readonly allowInsecureHttp: boolean;
  /** Hosts of private networks that accounts of the database may name. */
  readonly privateHosts: readonly string[];
  /** Whether it is a problem when there is nothing to mirror. */
  readonly isRequired: boolean;
}

/** An account that the environment or an entry describes. Problems are reported. */
interface DescribedAccount {
  readonly connections: readonly ConnectionConfig[];
  /** The setting that distinguishes it from the others. */
  readonly label: string;
  /** For the operator, if it is mirrored. */
  readonly notes: readonly string[];
  /** The setting that keeps it from being mirrored: `leadmirror.yaml: connections[2].enabled`. Null: it is. */
  readonly offBy: string | null;
}

/** Reads all connections. `entries` are read before, so that the variables used by the file are known. */
export function readConnections(
  { entries, stored }: { readonly entries: readonly FileEntry[]; readonly stored: readonly StoredEntry[] },
  context: ConnectionContext,
) {
  const { findings } = context;
  const described = SOURCES.map((source) => fromEnvironment(source, context));
  const read = createEntryReader(context);
  const configured = [...described.flatMap(({ account }) => account ?? []), ...entries.map(read)];
  refuseDuplicates(configured, findings);
  const kept = readStored(stored, { accounts: configured, findings, read, privateHosts: context.privateHosts });
  const accounts = [...configured, ...kept.accounts.map(inDatabase)];
  // Where nothing is configured at all, another message explains how to begin.
  if (accounts.length > 0) for (const { source, idle } of described) noteIdle(source, idle, entries, findings);

  const off = accounts.flatMap(({ offBy, connections }) =>
    offBy === null ? [] : connections.map(({ id }) => `${offBy} is false: ${id} is not mirrored`),
  );
  for (const note of off.slice(0, SHOWN_OFF)) findings.note(note);
  if (off.length > SHOWN_OFF)
    findings.note(
      `${counted(off.length - SHOWN_OFF, 'more connection is', 'more connections are')} not mirrored: enabled is false`,
    );
  const mirrored = accounts.filter(({ offBy }) => offBy === null);
  for (const note of mirrored.flatMap(({ notes }) => notes)) findings.note(note);
  if (mirrored.length === 0 && context.isRequired) explainNoConnection(accounts, findings);
  return {
    connections: mirrored.flatMap(({ connections }) => connections),
    /** Of the accounts of the database, those that are read, also where they are switched off. */
    stored: kept.accounts.flatMap(({ connections }) => connections.map(({ id }) => id)),
    unusable: kept.unusable,
  };
}

const inDatabase = (account: DescribedAccount): DescribedAccount => ({
  ...account,
  connections: account.connections.map((one) => ({
    ...one,
    configuredIn: `the database: leadmirror connection edit ${one.id}`,
  })),
});

const SHOWN_OFF = 5;

/** The account of a source that the variables describe, or those that are set and do nothing without one. */
function fromEnvironment(source: AccountSource, context: ConnectionContext) {
  const { environment, findings } = context;
  const variable = (key: string): string => source.settings[key] ?? key;
  const set: Lookup = (key) => (key in source.settings ? environment.given(variable(key)) : null);
  const isFree = (key: string): boolean => !environment.isReferenced(variable(key));
  // What leadmirror.yaml refers to is the file's, perhaps a part of a value, unless there is an account without it.
  const isOwn = set(source.identity) !== null || source.anchors.some((key) => isFree(key) && set(key) !== null);
  const given: Lookup = (key) => (isOwn || isFree(key) ? set(key) : null);
  const label = labelOf(given, variable);
  const rules = rulesOf({ given, name: variable }, context);
  const texts = textsOf(source, given);
  if (isOwn) {
    const connections = findings.check(source.environment(rules), texts, label) ?? [];
    const offBy = switchOf(source, environment);
    const where = source.anchors.filter((key) => given(key) !== null).map((key) => label([key]));
    const configuredIn = where.join(', ');
    const named = connections.map((each) => ({ ...each, configuredIn }));
    const account = {
      connections: named,
      label: label([source.identity]),
      notes: notesOf(source, rules, label),
      offBy,
    };
    return { source, account, idle: [] };
  }
  // Settings without an account do nothing, which is never what the operator wanted. They are checked all the same.
  findings.check(source.idle(rules), texts, label);
  const idle = Object.keys(source.settings).filter((key) => given(key) !== null);
  return { source, account: null, idle: idle.map(variable) };
}

const enabled = flag.default(true);

const accountLabel = text.regex(/^[^\p{C}]{1,80}$/u, 'must be up to 80 characters on one line').optional();

function noteIdle({ source, title }: AccountSource, idle: string[], entries: readonly FileEntry[], findings: Findings) {
  if (idle.length === 0) return;
  const isInFile = entries.some((entry) => entry.given('source')?.text === source);
  const inFile = `connections of ${CONNECTIONS_FILE} take their settings from there only`;
  findings.note(`${idle.join(', ')} without effect: ${isInFile ? inFile : `no ${title} is configured`}`);
}

/** Reads entry after entry. Making a schema is slow, so each source has one that asks about the entry at hand. */
function createEntryReader(context: ConnectionContext): (entry: FileEntry) => DescribedAccount {
  const { environment, findings } = context;
  let atHand: Lookup = () => null;
  const rules = rulesOf({ given: (key) => atHand(key), name: (key) => key }, context);
  const readSchedules = createScheduleReader(findings);
  const readers = SOURCES.map((source) => {
    const known = new Set(entryKeysOf(source.source));
    return { source, schema: source.entry(rules), known, offBy: switchOf(source, environment) };
  });
  return (entry) => {
    const { keys, given, label } = entry;
    atHand = given;
    const sourceName = given('source')?.text;
    const reader = readers.find(({ source }) => source.source === sourceName);
    if (reader === undefined) {
      explainUnknownSource(entry, findings);
      return { connections: [], label: label('source'), notes: [], offBy: null };
    }
    const { source, schema, known } = reader;
    for (const key of keys.filter((each) => !known.has(each))) {
      findings.problem(label(key), `is no setting of a ${source.title}; leave it out, or correct the source`);
    }
    const location = labelOf(given, label);
    const connection = findings.check(schema, { id: given('id')?.text, ...textsOf(source, given) }, location);
    const schedules = readSchedules(entry, source.streams);
    refuseStrangeStreams(entry, { source, mirrored: connection?.streams, findings });
    const name = findings.check(accountLabel, given('label')?.text, () => label('label'));
    const names = { ...(name !== undefined && { label: name }), configuredIn: label() };
    const privacy = readPolicy(entry, findings);
    const isEnabled = findings.check(enabled, given('enabled')?.text, () => label('enabled'));
    return {
      connections: connection === undefined ? [] : [{ ...connection, ...schedules, ...names, ...privacy }],
      label: location([given('id') === null ? source.identity : 'id']),
      notes: notesOf(source, rules, location),
      offBy: isEnabled === false ? label('enabled') : reader.offBy,
    };
  };
}

/** How the account's own fields are stored, as far as it differs from all accounts. */
function readPolicy({ given, label }: FileEntry, findings: Findings): Pick<ConnectionConfig, 'privacy'> {
  const read = <T>(key: string, schema: z.ZodType<T>) =>
    findings.check(schema.optional(), given(key)?.text, () => label(key));
  const presets = read('privacyPreset', privacyPresets);
  const fields = read('privacyFields', privacyFields);
  if (presets === undefined && fields === undefined) return {};
  return { privacy: { ...(presets !== undefined && { presets }), ...(fields !== undefined && { fields }) } };
}

function explainUnknownSource({ given, label }: FileEntry, findings: Findings): void {
  const name = given('source');
  // A text of null could not be read, which is reported already.
  if (name?.text === null) return;
  const sources = SOURCES.map((each) => each.source);
  const missing = `is missing; write ${sources.map((source) => `"source: ${source}"`).join(' or ')}`;
  findings.problem(label('source'), name === null ? missing : `must be ${sources.join(' or ')}`);
}

/** Schedules of streams that there are not, or that this connection leaves out: they would do nothing. */
function refuseStrangeStreams(
  { scheduledStreams, label }: FileEntry,
  {
    source,
    mirrored = source.streams,
    findings,
  }: { source: AccountSource; mirrored: readonly string[] | undefined; findings: Findings },
): void {
  for (const name of scheduledStreams) {
    if (!source.streams.includes(name)) {
      findings.unknownKey(name, source.streams, (shown) => label('streamSchedules', shown));
    } else if (!mirrored.includes(name)) {
      findings.problem(
        label('streamSchedules', name),
        'is not among the streams of this connection; add it there, or leave it out',
      );
    }
  }
}

function refuseDuplicates(accounts: readonly DescribedAccount[], findings: Findings): void {
  const ids = new Set<string>();
  for (const { connections, label } of accounts) {
    for (const { id } of connections) {
      if (ids.has(id)) {
        const remedy = `keep one, or give the one in ${CONNECTIONS_FILE} an "id" of its own`;
        findings.problem(label, `this connection is configured twice; ${remedy}`);
      }
      ids.add(id);
    }
  }
}

/** The variable that switches the whole source off, when it does. */
function switchOf({ enabledBy }: AccountSource, environment: Environment): string | null {
  if (enabledBy === undefined) return null;
  return flag.catch(true).parse(environment.given(enabledBy)?.text) ? null : enabledBy;
}

/** Only where nothing is configured at all: half a connection has its own, more exact problems. */
function explainNoConnection(accounts: readonly DescribedAccount[], findings: Findings): void {
  const switchedOff = accounts.find(({ offBy }) => offBy !== null)?.offBy;
  if (switchedOff) {
    findings.problem(switchedOff, 'is false, and no other connection is configured; set it to true, or add one');
    return;
  }
  if (findings.problems.some(({ variable }) => variable.startsWith(CONNECTIONS_FILE))) return;
  findings.problem(
    'TILEDESK_PROJECT_ID',
    'no Tiledesk project and no Tilkee account is configured. `leadmirror init` asks for what is needed and writes it; or set TILEDESK_PROJECT_ID, TILEDESK_EMAIL and TILEDESK_PASSWORD ' +
      '(or TILEDESK_TOKEN), or TILKEE_USERNAME and TILKEE_PASSWORD (or TILKEE_ACCESS_TOKEN), ' +
      `in the environment or in .env (.env.example shows all), or write a ${CONNECTIONS_FILE}. ` +
      'To look around first, run `npm run demo`: it needs no configuration',
  );
}

type Lookup = (key: string) => Given | null;

const labelOf =
  (given: Lookup, label: (key: string) => string): Label =>
  (path) => {
    const key = String(path.at(-1));
    return given(key)?.label ?? label(key);
  };

function rulesOf(
  { given, name }: { given: Lookup; name: (key: string) => string },
  { environment, allowInsecureHttp }: ConnectionContext,
): AccountRules {
  const hasSecretKey = environment.given('LEADMIRROR_SECRET_KEY') !== null;
  return { allowInsecureHttp, hasSecretKey, name, isGiven: (key) => given(key) !== null };
}

const notesOf = ({ advice }: AccountSource, rules: AccountRules, label: Label): readonly string[] =>
  advice?.(rules).map(({ key, message }) => `${label([key])}: ${message}`) ?? [];

function textsOf({ settings }: AccountSource, given: Lookup) {
  const texts = Object.fromEntries(Object.entries(settings).map(([key, name]) => [key, textOf(given(key), name)]));
  return { ...texts, auth: texts };
}
