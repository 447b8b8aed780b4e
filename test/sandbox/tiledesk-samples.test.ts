/** Every sample captured from a running 2.19 server, asked again: where the documents can be loaded, the answer must be equal. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Department, Lead, ProjectUser, Request, User } from '../../sandbox/tiledesk-documents.ts';
import { basic, type Client, createClient, type Row } from './client.ts';

const sample = (name: string): never =>
  JSON.parse(readFileSync(new URL(`../fixtures/tiledesk/${name}.json`, import.meta.url), 'utf8')) as never;

interface RequestsSample {
  readonly requests: readonly Row[];
}

let client: Client;

beforeAll(async () => {
  const plain = [0, 1].flatMap(
    (page) => (sample(`requests-all-no-populate-by-id-page${page}`) as RequestsSample).requests,
  );
  const populated = (sample('requests-default-populated') as RequestsSample).requests;
  client = await createClient({ projectId: String(plain[0]?.id_project), leads: 0, requests: 0 });
  const { data } = client.sandbox;
  const leads = ['leads-all-statuses-by-id-page0', 'leads-all-statuses-by-id-page1', 'leads-default'].flatMap(
    (name) => (sample(name) as { leads: Lead[] }).leads,
  );
  for (const lead of leads) data.collections.leads.put(lead);
  for (const { id: _id, requester_id: _requesterId, ...request } of plain)
    data.collections.requests.put(request as unknown as Request);
  data.team.departments.splice(0, Infinity, ...(sample('departments-allstatus') as Department[]));
  for (const member of sample('project_users') as (Omit<ProjectUser, 'id_user'> & {
    id_user: User;
    isBusy: boolean;
  })[]) {
    const { id_user: user, isBusy: _isBusy, ...stored } = member;
    data.team.users.set(user._id, user);
    data.team.projectUsers.push({ ...stored, id_user: user._id } as unknown as ProjectUser);
  }
  for (const { requester } of populated) {
    const guest = requester as ProjectUser;
    if (guest.role === 'guest') data.guests.set(guest._id, guest);
  }
});

afterAll(() => client.close());

const allRequests = 'status=all&preflight=true&no_populate=true';

const equalAnswers: readonly (readonly [string, string])[] = [
  ['leads-default', '/leads?limit=100'],
  ['leads-status-1000', '/leads?status=1000'],
  ['leads-all-statuses-by-id-page0', '/leads?status=100&status=50&status=1000&sort=_id&direction=1&limit=4'],
  ['leads-all-statuses-by-id-page1', '/leads?status=100&status=50&status=1000&sort=_id&direction=1&limit=4&page=1'],
  ['requests-default-populated', '/requests?limit=3'],
  ['requests-all-no-populate-by-id-page0', `/requests?${allRequests}&sort=_id&direction=1&limit=5`],
  ['requests-all-no-populate-by-id-page1', `/requests?${allRequests}&sort=_id&direction=1&limit=5&page=1`],
  ['requests-updatedAt-desc', `/requests?${allRequests}&sort=updatedAt&direction=-1&limit=100`],
  ['requests-empty-page', '/requests?status=all&page=50'],
  ['departments-allstatus', '/departments/allstatus'],
  ['requests-count', '/requests/count'],
];

test.each(equalAnswers)('%s is answered word for word', async (name, path) => {
  expect(await client.json(path)).toEqual(sample(name));
});

test('a single request is answered word for word, found by its request_id', async () => {
  const expected = sample('request-closed-single') as Row;
  expect(await client.json(`/requests/${expected.request_id}`)).toEqual(expected);
});

test('project_users are answered word for word', async () => {
  const rows = (await client.json('/project_users')) as Row[];
  const expected = sample('project_users') as Row[];
  const captured = expected.map((row) => row._id);
  expect(rows.filter((row) => captured.includes(row._id))).toEqual(expected);
});

/** Names of fields with the type of each, objects all the way down. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (value === null || typeof value !== 'object') return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, shapeOf(field)]));
}

describe('of lists that the sandbox makes up itself, the shape is that of the sample', () => {
  test.each([
    ['bots', '/bots'],
    ['groups', '/groups'],
    ['tags', '/tags'],
  ])('%s', async (name, path) => {
    expect(shapeOf(await client.json(path))).toEqual(shapeOf(sample(name)));
  });

  test('projects-mine', async () => {
    const response = await client.call('/../../projects');
    const rows = (await response.json()) as Row[];
    expect(response.url).toMatch(/\/projects$/);
    expect(rows).toHaveLength(1);
    expect(shapeOf(rows)).toEqual(shapeOf(sample('projects-mine')));
  });

  test('the project itself is the one inside the membership', async () => {
    const { sandbox, url } = client;
    const [membership] = (await (await client.call('/../../projects')).json()) as Row[];
    const headers = { authorization: basic(sandbox.email, sandbox.password) };
    const project = await fetch(`${url}/projects/${sandbox.projectId}`, { headers });
    expect(await project.json()).toEqual(membership?.id_project);
  });

  test('request-messages', async () => {
    const expected = sample('request-messages') as Row[];
    const rows = (await client.json(`/requests/${expected[0]?.recipient}/messages`)) as Row[];
    expect(rows.map((row) => row.type)).toEqual(expected.map((row) => row.type));
    expect(rows.map(shapeOf)).toEqual(expected.map(shapeOf));
  });
});

// webhooks.json is the one sample without a counterpart.
test('webhooks are not simulated: their calls are unknown to the framework', async () => {
  const response = await client.call('/subscriptions');
  expect(response.status).toBe(404);
  expect(await response.text()).toContain(`<pre>Cannot GET /${client.sandbox.projectId}/subscriptions</pre>`);
});

describe('generated rows', () => {
  const documented =
    '_id request_id ticket_id id_project status preflight hasBot draft first_text subject requester lead requester_id department participants participantsAgents participantsBots assignee followers priority workingStatus transcript first_response_at assigned_at closed_at closed_by waiting_time duration tags notes rating rating_message snapshot sourcePage language userAgent channel channelOutbound attributes location contact auto_close smartAssignment createdBy createdAt updatedAt __v id'.split(
      ' ',
    );

  test('have only documented fields, and always those that are always there', async () => {
    const generated = await createClient();
    try {
      const { rows } = await generated.list('requests', `${allRequests}&limit=0`);
      expect(rows).toHaveLength(200);
      expect(new Set(rows.flatMap(Object.keys).filter((key) => !documented.includes(key)))).toEqual(new Set());
      const always =
        '_id id request_id id_project status first_text participants participantsAgents participantsBots followers tags notes createdBy createdAt updatedAt __v requester_id';
      for (const key of always.split(' ')) expect(rows.filter((row) => row[key] === undefined)).toEqual([]);
    } finally {
      await generated.close();
    }
  });
});
