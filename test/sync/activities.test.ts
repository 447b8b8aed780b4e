import { afterEach, describe, expect, it } from '@jest/globals';
import { runInProcess } from '../helpers/in-process.ts';
import { searchDump } from '../privacy/support.ts';
import { DAY, type Project, startProject } from './activities.ts';

let project: Project;
afterEach(() => project.close());

describe('activities', () => {
  it('are mirrored whole, then what is new with one request', async () => {
    project = await startProject();
    const { data, query, listed, anyRequest } = project;
    expect(await project.read('backfill')).toMatchObject({
      outcome: 'succeeded',
      created: listed().length,
      quarantined: 0,
    });
    expect(listed().length).toBeGreaterThan(150);
    const { id, one, other } = anyRequest();
    for (const agent of [one, other]) data.touchRequest(id, { participants: [agent], participantsAgents: [agent] });
    data.closeRequest(id, { closedBy: other });
    project.sandbox.clearLog();
    expect(await project.read('incremental')).toMatchObject({ outcome: 'succeeded', created: 3 });
    expect(project.sandbox.log.filter(({ list }) => list === 'activities').length).toBe(1);
    const rows = await query(
      `select verb, actor_type, assignee_id, assignee_type, previous_assignee_id, source, target_type, action->>'assignmentType' as kind
       from tiledesk.activities where conversation_id = '${id}' and verb <> 'REQUEST_CREATE' order by created_at, id`,
    );
    const assigned = { verb: 'REQUEST_ASSIGNED_MANUAL', actor_type: 'user', assignee_type: 'user', source: 'api' };
    const toOther = { ...assigned, assignee_id: other, previous_assignee_id: one, kind: 'manual_reassign' };
    expect(rows).toMatchObject([{ ...assigned, assignee_id: one }, toOther, { verb: 'REQUEST_CLOSE' }]);
  });

  it('hold no name, address or text: neither of visitors nor of colleagues', async () => {
    project = await startProject();
    const { data, anyRequest } = project;
    const { id, one } = anyRequest();
    data.touchRequest(id, { participants: [one], participantsAgents: [one] });
    await project.read('backfill');
    const people = [...data.team.users.values()].flatMap(({ email, firstname, lastname }) => [
      email,
      `${firstname} ${lastname}`,
    ]);
    const visitors = [...data.leads.values()].flatMap(({ fullname, email }) => [fullname, email]);
    const texts = [...data.requests.values()].map(({ first_text }) => first_text);
    const said = JSON.stringify(data.listable().activities);
    const needles = [...people, ...visitors, ...texts].filter((text): text is string => typeof text === 'string');
    expect(needles.filter((text) => said.includes(text)).length).toBeGreaterThan(20);
    const found = await searchDump(project.database.url, needles);
    expect(found.filter((row) => row.startsWith('tiledesk.activities'))).toEqual([]);
  });

  it('that the upstream removed for their age stay, and are not marked as deleted, even when none is left', async () => {
    project = await startProject();
    const { data, query, mirrored, listed } = project;
    await project.read('backfill');
    const before = (await mirrored()).sort();
    data.activities?.removeBefore(Date.now() - 15 * DAY);
    expect(listed().length).toBeLessThan(before.length);
    expect(await project.read('reconcile')).toMatchObject({ outcome: 'succeeded', deleted: 0 });
    data.activities?.removeBefore(Date.now() + DAY);
    for (const pass of ['reconcile', 'incremental'] as const) {
      expect(await project.read(pass)).toMatchObject({ outcome: 'succeeded', deleted: 0 });
    }
    expect((await mirrored()).sort()).toEqual(before);
    expect(await query('select 1 from tiledesk.activities where deleted_at is not null')).toEqual([]);
  });

  it('of a server that notes none are an empty list, and check and status tell that', async () => {
    project = await startProject({ activities: false });
    const { query } = project;
    expect(await project.read('backfill')).toMatchObject({ outcome: 'succeeded', read: 0 });
    const check = await runInProcess(['check'], project.env, { cwd: '/' });
    expect(check.stdout).toMatch(/tiledesk\.activities: 0 upstream, this server lists no activities/);
    const [status] = await query<{ notice: string }>(
      `select notice from sync.status where stream = 'tiledesk.activities'`,
    );
    expect(status?.notice).toContain('ACTIVITY_HISTORY_ENABLED');
  });
});
