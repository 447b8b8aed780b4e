import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { runInProcess } from '../helpers/in-process.ts';
import { findRoot } from '../helpers/recipes.ts';
import { erasePerson, SECRET } from '../privacy/support.ts';
import { DAY, type Project, STREAMS, startProject } from './activities.ts';

let project: Project;
afterEach(() => project.close());

describe('activities', () => {
  it('answer who reassigned a conversation, from whom to whom, with the query of the docs', async () => {
    project = await startProject({}, { TILEDESK_STREAMS: `${STREAMS},project_users` });
    const { data, query, anyRequest } = project;
    const { id, ticket, one, other } = anyRequest();
    for (const agents of [[one], [other], []]) {
      data.touchRequest(id, { participants: agents, participantsAgents: agents });
    }
    for (const stream of ['requests', 'project_users', 'activities']) await project.run(stream, 'backfill');
    const page = readFileSync(join(findRoot(), 'docs/sql.md'), 'utf8');
    const text = /```sql\n(select a\.created_at, a\.verb[\s\S]+?);\n```/.exec(page)?.[1] ?? '';
    const nameOf = (user: string) => {
      const { firstname, lastname } = data.team.users.get(user) ?? {};
      return `${firstname} ${lastname}`;
    };
    const by_whom = 'Sue Supervisor';
    expect(await query(text.replace('= 41', `= ${ticket}`))).toMatchObject([
      { verb: 'REQUEST_ASSIGNED_MANUAL', by_whom, from_whom: null, to_whom: nameOf(one) },
      { verb: 'REQUEST_ASSIGNED_MANUAL', by_whom, from_whom: nameOf(one), to_whom: nameOf(other) },
      { verb: 'REQUEST_UNASSIGNED', by_whom, from_whom: null, to_whom: nameOf(other) },
    ]);
  });

  it.each(['new', 'old'] as const)(
    'are all found while new ones arrive and old ones are removed between two pages (%s server)',
    async (serverVersion) => {
      project = await startProject({ serverVersion }, { TILEDESK_PAGE_SIZE: '20' });
      const { data, listed, missing, anyRequest } = project;
      const atFirst = listed();
      const { id, one, other } = anyRequest();
      let turn = 0;
      project.sandbox.faults.beforeAnswer = ({ list }) => {
        if (list !== 'activities') return;
        turn += 1;
        const agent = turn % 2 === 0 ? one : other;
        for (let times = 0; times < turn % 4; times++) {
          data.touchRequest(id, { participants: [agent], participantsAgents: [agent] });
        }
        data.activities?.removeBefore(Date.now() - (31 - turn / 4) * DAY);
      };
      expect(await project.read('backfill')).toMatchObject({ outcome: 'succeeded', error: null });
      const kept = new Set(listed());
      expect(kept.size).toBeGreaterThan(atFirst.length / 2);
      expect(await missing(atFirst.filter((one) => kept.has(one)))).toEqual([]);
      expect(await project.read('incremental')).toMatchObject({ outcome: 'succeeded' });
      project.sandbox.faults.beforeAnswer = undefined;
      await project.read('incremental');
      expect(await missing(listed())).toEqual([]);
      expect(turn).toBeGreaterThan(8);
    },
  );

  it('of a server that notes them are counted by check, and the note goes', async () => {
    project = await startProject();
    const check = await runInProcess(['check'], project.env, { cwd: '/' });
    expect(check.stdout).toMatch(/tiledesk\.activities: \d+ upstream, keepsActivities: yes\n/);
  });

  it('need an admin: a lesser role is refused, and named as the cause', async () => {
    project = await startProject({ role: 'supervisor' }, { TILEDESK_ALLOW_CUSTOM_ROLE: 'true' });
    expect(await project.read('backfill')).toMatchObject({ outcome: 'failed', error: { code: 'auth_role' } });
  });

  it('are left out of verify, which names the reason', async () => {
    project = await startProject();
    await project.read('backfill');
    const verify = await runInProcess(['verify', 'tiledesk.activities'], project.env, { cwd: '/' });
    expect(verify.stdout).toContain('an activity never changes');
  });

  it('no longer name a visitor who was erased, also when they are read again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'activities-'));
    project = await startProject(
      {},
      {
        TILEDESK_STREAMS: `leads,${STREAMS}`,
        LEADMIRROR_SECRET_KEY: SECRET,
        PRIVACY_JOURNAL: join(folder, 'journal.jsonl'),
      },
    );
    const { data, query } = project;
    for (const stream of ['leads', 'requests', 'activities']) await project.run(stream, 'backfill');
    const [opened] = await query<{ actor_id: string; conversation_id: string }>(
      `select actor_id, conversation_id from tiledesk.activities join tiledesk.leads l on l.id = actor_id and l.deleted_at is null
       where verb = 'REQUEST_CREATE' order by activities.created_at limit 1`,
    );
    const lead = opened?.actor_id ?? '';
    await erasePerson(project.app, { leads: [lead] });
    data.activities?.closed(data.requests.get(opened?.conversation_id ?? '') as never, Date.now());
    for (const pass of ['reconcile', 'incremental'] as const)
      expect(await project.read(pass)).toMatchObject({ outcome: 'succeeded' });
    expect(await query(`select 1 from tiledesk.activities where activities::text like '%${lead}%'`)).toEqual([]);
    const left = await query<{ verb: string }>(
      `select verb, actor_id, action from tiledesk.activities where conversation_id = '${opened?.conversation_id}' and erased_at is not null`,
    );
    expect(left.length).toBeGreaterThan(0);
    expect(left).toEqual(left.map(({ verb }) => ({ verb, actor_id: null, action: null })));
    await rm(folder, { recursive: true });
  });
});
