/**
 * Builds leads and conversations as they look after some months of use. Every oddity below was met in a running server
 * (2.19) or is documented by the vendor; the proportions are invented.
 */
import type { Random } from './random.ts';
import {
  createGuest,
  type IdFactory,
  iso,
  type Lead,
  type ProjectUser,
  type Request,
  type Team,
} from './tiledesk-documents.ts';
import * as words from './words.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

export interface HistoryTools {
  readonly team: Team;
  readonly random: Random;
  readonly ids: IdFactory;
}

export function createLead(tools: HistoryTools, at: number): Lead {
  const { team, random, ids } = tools;
  const time = iso(at);
  const firstName = random.pick(words.firstNames);
  const mailName = random.hex(6);
  const isNamed = random.chance(0.8);
  return {
    tags: random.chance(0.15) ? [random.pick(words.leadTags)] : [],
    status: 100,
    _id: ids.next(at),
    lead_id: random.chance(0.05) ? String(random.int(10_000, 999_999)) : random.uuid(),
    ...(isNamed
      ? { fullname: `${firstName} ${random.pick(words.lastNames)}` }
      : random.chance(0.7) && { fullname: `guest#${mailName.slice(0, 4)}` }),
    ...(random.chance(0.6) && { email: `visitor.${mailName}@example.com` }),
    ...(random.chance(0.95) && { phone: random.chance(0.2) ? `+39000${random.int(1_000_000, 9_999_999)}` : null }),
    ...(random.chance(0.2) && { company: random.pick(words.companies) }),
    ...(random.chance(0.15) && { city: random.pick(words.cities), country: random.pick(words.countries) }),
    ...(random.chance(0.3) && { attributes: createLeadAttributes(random) }),
    ...(random.chance(0.05) && { properties: { score: random.int(1, 100), plan: { name: 'gold', since: time } } }),
    ...(random.chance(0.05) && { note: 'line one\nline two' }),
    id_project: team.projectId,
    createdBy: random.chance(0.7) ? 'system' : random.pick(team.agentIds),
    createdAt: time,
    updatedAt: time,
    __v: 0,
  };
}

function createLeadAttributes(random: Random): Record<string, unknown> {
  const kinds: readonly Record<string, unknown>[] = [
    { plan: 'gold', nested: { a: [1, 2, { b: null }] }, 'weird key': null },
    { 'utm.source': 'newsletter', 'utm.campaign': 'spring', $ref: '#/x', '': 'empty key' },
    { client: 'example-agent/1.0', sourcePage: 'https://www.example.com/?q=a%20b&x=1', 日本語: '値', userEmail: null },
    { __proto: 'x', constructor: 'not a function', big: 9007199254740991, small: 1e-7, negative: -0.5 },
    {},
  ];
  return random.pick(kinds);
}

/** The visitor's project user; made together with the first conversation. */
export function createGuestOf(tools: HistoryTools, lead: Lead): ProjectUser {
  const at = lead.createdAt ?? iso(0);
  const id = tools.ids.next(Date.parse(at));
  return createGuest({ id, uuid: lead.lead_id ?? id, projectId: tools.team.projectId, at });
}

export interface NewRequest {
  readonly at: number;
  /** Nothing in the conversation happens after this. */
  readonly until: number;
  readonly ticketId: number;
  readonly lead: Lead | undefined;
  readonly requester: ProjectUser | undefined;
  /** Rows of an older server lack the newer fields. */
  readonly isOldForm?: boolean;
  /** A conversation of this moment: still waiting or assigned, not closed. */
  readonly isFresh?: boolean;
}

type Fate = 'closed' | 'reopened' | 'assigned' | 'waiting' | 'abandoned' | 'temporary';

function chooseFate(random: Random, isFresh: boolean): Fate {
  const draw = random.next();
  if (isFresh) return draw < 0.5 ? 'waiting' : draw < 0.9 ? 'assigned' : 'temporary';
  if (draw < 0.74) return 'closed';
  if (draw < 0.77) return 'reopened';
  if (draw < 0.86) return 'assigned';
  if (draw < 0.9) return 'waiting';
  return draw < 0.95 ? 'abandoned' : 'temporary';
}

const statusOf: Readonly<Record<Fate, number>> = {
  closed: 1000,
  reopened: 200,
  assigned: 200,
  waiting: 100,
  abandoned: 150,
  temporary: 50,
};

/** Built by assignment, not by conditional spreads: half the time, and a benchmark makes tens of thousands. */
export function createRequest(tools: HistoryTools, input: NewRequest): Request {
  const { team, random, ids } = tools;
  const { at, until, lead, requester, isOldForm = false } = input;
  const fate = chooseFate(random, input.isFresh ?? false);
  const wasTaken = fate === 'assigned' || fate === 'closed' || fate === 'reopened';
  const agentId = random.pick(team.agentIds);
  const department = random.pick(team.departments);
  const firstText = random.pick(words.questions);
  const time = iso(at);
  const row: Record<string, unknown> = { status: statusOf[fate], followers: [], tags: [], notes: [] };
  row._id = ids.next(at);
  row.request_id = `support-group-${isOldForm ? '' : `${team.projectId}-`}${random.hex(32)}`;
  row.id_project = team.projectId;
  row.first_text = firstText;
  row.department = department._id;
  row.createdBy = requester?.id_user ?? requester?.uuid_user ?? 'system';
  row.createdAt = time;
  row.__v = wasTaken ? random.int(0, 4) : 0;
  if (requester) row.requester = requester._id;
  if (lead) row.lead = lead._id;
  const hasBot = addParticipants(row, tools, wasTaken ? agentId : undefined);
  addVisit(row, random);
  if (!isOldForm) {
    row.preflight = fate === 'temporary' && random.chance(0.8);
    row.hasBot = hasBot;
    row.priority = random.chance(0.9) ? 'medium' : random.pick(['low', 'high', 'urgent']);
    row.channelOutbound = row.channel;
    row.smartAssignment = row.channel !== channels.email && row.channel !== channels.form;
    row.ticket_id = input.ticketId;
  }
  if (random.chance(0.01)) row.draft = true;
  if (random.chance(0.1)) row.subject = `Subject: ${firstText.slice(0, 12)}`;
  if (random.chance(0.1)) row.workingStatus = random.pick(['new', 'pending', 'open', 'attesa cliente']);
  if (lead?.email && random.chance(0.5)) row.contact = { email: lead.email };
  if (!isOldForm || random.chance(0.5)) {
    row.snapshot = createSnapshot(random, { department, requester, lead, agentId });
  }
  let changedAt = at;
  if (wasTaken) changedAt = addAssignment(row, tools, { at, until, agentId });
  if (fate === 'closed' || fate === 'reopened') changedAt = addEnding(row, random, { at, until, agentId, firstText });
  addAttributes(row, random, { isAbandoned: fate === 'abandoned', department: department.name });
  if (random.chance(0.12)) row.tags = [{ _id: ids.next(changedAt), ...random.pick(words.requestTags) }];
  if (random.chance(0.06)) row.notes = [createNote(tools, changedAt, agentId)];
  row.updatedAt = iso(Math.min(changedAt, until));
  return row as unknown as Request;
}

const channelNames = ['email', 'form', 'whatsapp', 'telegram', 'voice-vxml', 'chat21'] as const;
const channels = Object.fromEntries(channelNames.map((name) => [name, { name }]));

/** Bots stand in three places: with a prefix among all, without it among bots. */
function addParticipants(
  row: Record<string, unknown>,
  { team, random }: HistoryTools,
  agentId: string | undefined,
): boolean {
  const hasBot = random.chance(0.12);
  const isBotAlone = hasBot && random.chance(0.5);
  const agents = agentId === undefined || isBotAlone ? [] : [agentId];
  const bots = hasBot && agentId !== undefined ? team.bots.map((bot) => bot._id) : [];
  row.participants = [...agents, ...bots.map((id) => `bot_${id}`)];
  row.participantsAgents = agents;
  row.participantsBots = bots;
  return hasBot;
}

function addVisit(row: Record<string, unknown>, random: Random): void {
  row.channel = channels[random.chance(0.7) ? 'chat21' : random.pick(channelNames)];
  if (random.chance(0.8)) row.sourcePage = 'https://www.example.com/page?utm_source=x';
  if (random.chance(0.8)) row.language = random.pick(words.languages);
  if (random.chance(0.85)) row.userAgent = random.pick(words.userAgents);
  if (random.chance(0.6)) row.location = createLocation(random);
}

/** Returns when the row was last written. */
function addAssignment(
  row: Record<string, unknown>,
  tools: HistoryTools,
  { at, until, agentId }: { at: number; until: number; agentId: string },
): number {
  const { random } = tools;
  const assignedAt = Math.min(at + random.int(20, 90 * second), until);
  row.assigned_at = iso(assignedAt);
  if (random.chance(0.8)) {
    row.first_response_at = row.assigned_at;
    row.waiting_time = assignedAt - at;
  }
  if (random.chance(0.7)) {
    const requestId = row.request_id as string;
    row.attributes = { last_message: createLastMessage(tools, { at: assignedAt, requestId, agentId }) };
  }
  return assignedAt + 40;
}

function addAttributes(
  row: Record<string, unknown>,
  random: Random,
  input: { isAbandoned: boolean; department: string },
): void {
  const attributes: Record<string, unknown> = { ...(row.attributes as object | undefined) };
  if (input.isAbandoned) attributes.fully_abandoned = true;
  if (row.draft === true) attributes.sourcePage = 'https://www.example.com/?td_draft=true';
  if (random.chance(0.3)) attributes.departmentName = input.department;
  if (random.chance(0.1)) {
    attributes.order = { id: random.int(1, 9999), lines: ['a', 'b', { sku: 'x.1' }] };
    attributes['utm.source'] = 'mail';
    attributes['weird key'] = null;
  }
  if (random.chance(0.03)) Object.assign(attributes, { caller_phone: '+390000000000', call_id: random.hex(8) });
  if (Object.keys(attributes).length > 0) row.attributes = attributes;
}

function createLocation(random: Random): Record<string, unknown> {
  return {
    geometry: { coordinates: [] },
    country: random.pick(words.countries),
    ...(random.chance(0.7) && { city: random.pick(words.cities) }),
    ipAddress: `192.0.2.${random.int(1, 254)}`,
  };
}

function createNote(tools: HistoryTools, at: number, createdBy: string): Record<string, unknown> {
  const time = iso(at);
  return { _id: tools.ids.next(at), text: tools.random.pick(words.notes), createdBy, updatedAt: time, createdAt: time };
}

function createLastMessage(
  tools: HistoryTools,
  message: { at: number; requestId: string; agentId: string },
): Record<string, unknown> {
  const { team, random, ids } = tools;
  const isImage = random.chance(0.2);
  const agent = team.users.get(message.agentId);
  return {
    senderFullname: `${agent?.firstname} ${agent?.lastname}`,
    type: isImage ? 'image' : 'text',
    channel_type: 'group',
    status: 0,
    _id: ids.next(message.at),
    sender: message.agentId,
    recipient: message.requestId,
    text: random.pick(words.replies),
    id_project: team.projectId,
    createdBy: message.agentId,
    ...(isImage && { metadata: { src: 'https://www.example.com/a.png', width: 10, height: 10 } }),
    channel: { name: 'chat21' },
    createdAt: iso(message.at),
    updatedAt: iso(message.at),
    __v: 0,
  };
}

/** Returns when the row was last written: the rating and the late writes of a close come a little after closed_at. */
function addEnding(
  row: Record<string, unknown>,
  random: Random,
  input: { at: number; until: number; agentId: string; firstText: string },
): number {
  const longestMs = random.chance(0.1) ? 20 * day : 5 * hour;
  // Spread over what is left of the history: cut off at its end instead, hundreds of closings would share the last minute.
  const roomMs = Math.max(0, Math.min(longestMs, input.until - second - input.at));
  const closedAt = input.at + random.int(Math.min(2 * minute, roomMs), roomMs);
  const isRated = random.chance(0.25);
  row.transcript = createTranscript(random, input.at, input.firstText);
  row.duration = closedAt - input.at;
  row.closed_by = random.chance(0.8) ? input.agentId : random.pick(['_bot_unresponded', 'system', '_trigger']);
  row.closed_at = iso(closedAt);
  if (isRated) row.rating = random.int(1, 5);
  if (isRated && random.chance(0.5)) row.rating_message = random.pick(words.ratingMessages);
  return closedAt + random.int(5, isRated ? 900 : 60);
}

/** `DD/MM/YYYY, HH:mm:ss Name: text`, lines joined by CRLF, as the server writes it; sometimes empty. */
export function createTranscript(random: Random, at: number, firstText: string): string {
  const lines: string[] = [];
  const count = random.chance(0.1) ? 0 : random.int(1, 8);
  const [date = '', time = ''] = iso(at).split('T');
  const head = `${date.split('-').reverse().join('/')}, ${time.slice(0, 6)}`;
  for (let line = 0; line < count; line++) {
    const name = line % 2 === 0 ? 'Guest' : 'Andy Agent';
    const text = line === 0 ? firstText : random.pick(words.replies);
    lines.push(`${head}${line * 7 + 10} ${name}: ${text}`);
  }
  return lines.join('\r\n');
}

function createSnapshot(
  random: Random,
  input: {
    department: object;
    requester: ProjectUser | undefined;
    lead: Lead | undefined;
    agentId: string;
  },
): Record<string, unknown> {
  return {
    department: input.department,
    availableAgentsCount: random.int(0, 3),
    ...(input.requester && { requester: input.requester }),
    ...(input.lead && { lead: input.lead }),
    // Who was eligible; decides what an agent sees, and is never sent.
    agents: [{ id_user: input.agentId }],
  };
}
