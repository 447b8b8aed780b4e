import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { erasureParts } from '../../src/app/erase-person.ts';
import { replay } from '../../src/sync/privacy/replay.ts';
import { buildProgram } from '../helpers/cli.ts';
import { runInProcess } from '../helpers/in-process.ts';
import { variables } from '../helpers/mirror.ts';
import { erasePerson, type PrivacySetup, query, SECRET, searchDump, setupPrivacy } from './support.ts';

/** What can go wrong while a person is erased: nothing happens, or all of it, and it is said which. */
let setup: PrivacySetup;
let env: Record<string, string>;
let people: { id: string; email: string }[];
beforeAll(async () => {
  setup = await setupPrivacy({ leads: 40, requests: 60, now: Date.now() - 3_600_000 });
  await setup.syncAll();
  const given = variables(setup.sandbox, setup.url, setup.database.url);
  env = { ...given, LEADMIRROR_SECRET_KEY: SECRET, PRIVACY_JOURNAL: setup.journal };
  people = await query(
    setup.database.url,
    'select id, email from tiledesk.leads where email is not null and deleted_at is null order by id',
  );
  // So that there is a journal.
  await erasePerson(setup.app, { leads: [people.pop()?.id ?? ''] });
});
afterAll(() => setup.close());

let person: { id: string; email: string };
let before: unknown;
beforeEach(async () => {
  const next = people.pop();
  if (next === undefined) throw new Error('no person is left');
  person = next;
  before = await state();
});

const never = new AbortController().signal;

/** All that an erasure changes. */
async function state(): Promise<unknown> {
  const tables = ['sync.erasures', 'sync.suppressions', 'sync.privacy', 'tiledesk.leads', 'tiledesk.requests'];
  const counts = tables.map(
    (name) => `select '${name}' as name, count(*)::int, md5(string_agg(t::text, '' order by t::text)) from ${name} t`,
  );
  return [await query(setup.database.url, counts.join(' union all ')), await readFile(setup.journal, 'utf8')];
}

const forget = (more: Readonly<Record<string, string>>, ...args: readonly string[]) =>
  runInProcess(['forget', '--lead', person.id, ...args], { ...env, ...more }, { cwd: setup.folder });

describe('an erasure', () => {
  it('erases nothing when the disk is full while the journal is written, and prints that', async () => {
    const blocks = Math.floor((await stat(setup.journal)).size / 512) + 1;
    const program = [await buildProgram(), 'forget', '--lead', person.id, '--yes'];
    // A limit of the process stands for a full disk: the first write takes half of the line.
    const args = ['-c', `trap '' XFSZ; ulimit -f ${blocks}; exec "$@"`, 'sh', process.execPath, ...program];
    const child = spawn('/bin/sh', args, { env: { ...env, PATH: process.env.PATH }, cwd: setup.folder });
    let printed = '';
    for (const output of [child.stdout, child.stderr]) output.on('data', (text) => (printed += text));
    const [code] = await once(child, 'close');
    expect({ code, printed }).toEqual({
      code: 1,
      printed: expect.stringMatching(/cannot be read or written \(EFBIG\); nothing was erased/),
    });
    expect(await state()).toEqual(before);
    expect((await erasePerson(setup.app, { leads: [person.id] })).state).toBe('done');
  });

  it('that is killed between the journal and the database blocks every run until it is repeated', async () => {
    const { url } = setup.database;
    await query(
      url,
      `create function kill() returns trigger language plpgsql as $$ begin raise exception 'killed'; end $$`,
    );
    await query(
      url,
      'create trigger kill before update of journal_hash on sync.privacy for each row execute function kill()',
    );
    await expect(erasePerson(setup.app, { emails: [person.email] })).rejects.toThrow();
    await query(url, 'drop function kill cascade');
    const run = () => setup.run('leads', 'incremental');
    expect(await run()).toMatchObject({ outcome: 'failed', read: 0, error: { code: 'erasures_missing' } });
    await replay(await erasureParts(setup.app, { signal: never }));
    expect(await searchDump(url, [person.email])).toEqual([]);
    expect(await run()).toMatchObject({ outcome: 'succeeded' });
    expect(await searchDump(url, [person.email])).toEqual([]);
  });

  it.each([-1, 1])('erases nothing while one of the clocks is %i hours off', async (hours) => {
    const { clock } = setup.app;
    const parts = { clock: { ...clock, now: () => clock.now() + hours * 3_600_000 } };
    await expect(erasePerson(setup.app, { leads: [person.id] }, { parts })).rejects.toMatchObject({
      code: 'clocks_differ',
      message: expect.stringMatching(/differ by 60 minutes.*nothing was erased/),
    });
    expect(await state()).toEqual(before);
  });

  it.each([-400, 400])('stays when the clock of a process jumps by %i days afterwards', async (days) => {
    await erasePerson(setup.app, { emails: [person.email] });
    const rows = () => query(setup.database.url, 'select id from tiledesk.leads where erased_at is null order by id');
    const kept = await rows();
    const { now } = Date;
    const jump = jest.spyOn(Date, 'now').mockImplementation(() => now() + days * 86_400_000);
    try {
      setup.sandbox.data.editLead(person.id, { company: 'changed' });
      for (const pass of ['incremental', 'reconcile'] as const) await setup.syncAll(pass);
    } finally {
      jump.mockRestore();
    }
    expect(await searchDump(setup.database.url, [person.email])).toEqual([]);
    expect(await rows()).toEqual(kept);
  });

  it('erases nothing with another LEADMIRROR_SECRET_KEY, and prints which', async () => {
    const { code, stderr } = await forget({ LEADMIRROR_SECRET_KEY: 'another-key-of-the-privacy-test-0123' }, '--yes');
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/LEADMIRROR_SECRET_KEY/) });
    expect(await state()).toEqual(before);
  });

  it('erases nothing with a role that may only read, and prints what it lacks', async () => {
    const role = `reader_${Math.random().toString(36).slice(2, 8)}`;
    const own = new URL(setup.database.url);
    own.username = role;
    own.password = 'made-up-reader';
    await query(
      setup.database.url,
      `create role ${role} login password 'made-up-reader'; grant pg_read_all_data to ${role}`,
    );
    try {
      const { code, stderr } = await forget({ DATABASE_URL: own.href }, '--yes');
      expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/the role lacks a right/) });
      expect(await state()).toEqual(before);
    } finally {
      await query(setup.database.url, `drop owned by ${role}; drop role ${role}`);
    }
  });
});
