/** Leads and conversations after months of use. Each oddity was seen in server 2.19 or is documented. */
import type { Random } from './random.ts';
import * as texts from './texts.ts';
import { type IdFactory, iso, type Lead, type ProjectUser, type Request } from './tiledesk-documents.ts';
import { createMessage, type TiledeskRow } from './tiledesk-rows.ts';
import type { Team } from './tiledesk-team.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

export interface HistoryTools {
  readonly team: Team;
  readonly random: Random;
  readonly ids: IdFactory;
}

export function createLead({ team, random, ids }: HistoryTools, at: number): Lead {
  const time = iso(at);
  const firstName = random.pick(texts.firstNames);
  const mailName = random.hex(6);
  const isNamed = random.chance(0.8);
  return {
    tags: random.chance(0.15) ? [random.pick(texts.leadTags)] : [],
    status: 100,
    _id: ids.next(at),
    lead_id: random.chance(0.05) ? String(random.int(10_000, 999_999)) : random.uuid(),
    ...(isNamed
      ? { fullname: `${firstName} ${random.pick(texts.lastNames)}` }
      : random.chance(0.7) && { fullname: `guest#${mailName.slice(0, 4)}` }),
    ...(random.chance(0.6) && { email: `visitor.${mailName}@example.com` }),
    ...(random.chance(0.95) && { phone: random.chance(0.2) ? `+39000${random.int(1_000_000, 9_999_999)}` : null }),
    ...(random.chance(0.2) && { company: random.pick(texts.companies) }),
    ...(random.chance(0.15) && { city: random.pick(texts.cities), country: random.pick(texts.countries) }),
    ...(random.chance(0.3) && { attributes: random.pick(leadAttributes) }),
    ...(random.chance(0.05) && { properties: { score: random.int(1, 100), plan: { name: 'gold', since: time } } }),
    ...(random.chance(0.05) && { note: 'line one\nline two' }),
    id_project: team.projectId,
    createdBy: random.chance(0.7) ? 'system' : random.pick(team.agentIds),
    createdAt: time,
    updatedAt: time,
    __v: 0,
  };
}

const leadAttributes: readonly object[] = [
  { plan: 'gold', nested: { a: [1, 2, { b: null }] }, 'weird key': null },
  { 'utm.source': 'newsletter', 'utm.campaign': 'spring', $ref: '#/x', '': 'empty key' },
  { client: 'example-agent/1.0', sourcePage: 'https://www.example.com/?q=a%20b&x=1', 日本語: '値', userEmail: null },
  { __proto: 'x', constructor: 'not a function', big: 9007199254740991, small: 1e-7, negative: -0.5 },
  {},
];

interface NewRequest {
  readonly at: number;
  readonly until: number;
  readonly ticketId: number;
  readonly lead: Lead | undefined;
  readonly requester: ProjectUser | undefined;
  /** Rows of an older server lack the newer fields. */
  readonly isOldForm?: boolean;
  /** A conversation of this moment: still waiting or assigned, not closed. */
  readonly isFresh?: boolean;
}

const statusOf = { closed: 1000, reopened: 200, assigned: 200, waiting: 100, abandoned: 150, temporary: 50 };
type Fate = keyof typeof statusOf;

const fates: readonly (readonly [percent: number, fate: Fate])[] = [
  [74, 'closed'],
  [3, 'reopened'],
  [9, 'assigned'],
  [4, 'waiting'],
  [5, 'abandoned'],
  [5, 'temporary'],
];
const freshFates: typeof fates = [
  [50, 'waiting'],
  [40, 'assigned'],
  [10, 'temporary'],
];

const channelNames = ['email', 'form', 'whatsapp', 'telegram', 'voice-vxml', 'chat21'] as const;

/** Built by assignment, not by conditional spreads: half the time, and a benchmark makes tens of thousands. */
export function createRequest(tools: HistoryTools, input: NewRequest): Request {
  const { team, random, ids } = tools;
  const { at, until, lead, requester, isOldForm = false } = input;
  const fate = random.weighted(input.isFresh ? freshFates : fates);
  const agentId = random.pick(team.agentIds);
  const department = random.pick(team.departments);
  const firstText = random.pick(texts.questions);
  const wasTaken = fate === 'assigned' || fate === 'closed' || fate === 'reopened';
  const row: TiledeskRow = { status: statusOf[fate], followers: [], tags: [], notes: [], id_project: team.projectId };
  row._id = ids.next(at);
  row.request_id = `support-group-${isOldForm ? '' : `${team.projectId}-`}${random.hex(32)}`;
  row.first_text = firstText;
  row.department = department._id;
  row.createdBy = requester?.id_user ?? requester?.uuid_user ?? 'system';
  row.createdAt = iso(at);
  row.__v = wasTaken ? random.int(0, 4) : 0;
  if (requester) row.requester = requester._id;
  if (lead) row.lead = lead._id;
  const hasBot = addParticipants(row, tools, wasTaken ? agentId : undefined);
  const channel = random.chance(0.7) ? 'chat21' : random.pick(channelNames);
  row.channel = { name: channel };
  if (random.chance(0.8)) row.sourcePage = 'https://www.example.com/page?utm_source=x';
  if (random.chance(0.8)) row.language = random.pick(texts.languages);
  if (random.chance(0.85)) row.userAgent = random.pick(texts.userAgents);
  if (random.chance(0.6)) {
    const country = random.pick(texts.countries);
    const city = random.chance(0.7) ? random.pick(texts.cities) : undefined;
    row.location = { geometry: { coordinates: [] }, country, city, ipAddress: `192.0.2.${random.int(1, 254)}` };
  }
  if (!isOldForm) {
    row.preflight = fate === 'temporary' && random.chance(0.8);
    row.hasBot = hasBot;
    row.priority = random.chance(0.9) ? 'medium' : random.pick(['low', 'high', 'urgent']);
    row.channelOutbound = row.channel;
    row.smartAssignment = channel !== 'email' && channel !== 'form';
    row.ticket_id = input.ticketId;
  }
  if (random.chance(0.01)) row.draft = true;
  if (random.chance(0.1)) row.subject = `Subject: ${firstText.slice(0, 12)}`;
  if (random.chance(0.1)) row.workingStatus = random.pick(['new', 'pending', 'open', 'attesa cliente']);
  if (lead?.email && random.chance(0.5)) row.contact = { email: lead.email };
  if (!isOldForm || random.chance(0.5)) {
    // Who was eligible decides what an agent sees, and is never sent.
    const agents = [{ id_user: agentId }];
    row.snapshot = { department, availableAgentsCount: random.int(0, 3), requester, lead, agents };
  }
  let changedAt = at;
  if (wasTaken) changedAt = addAssignment(row, tools, { at, until, agentId });
  if (fate === 'closed' || fate === 'reopened') changedAt = addEnding(row, random, { at, until, agentId, firstText });
  addAttributes(row, random, { isAbandoned: fate === 'abandoned', department: department.name });
  if (random.chance(0.12)) row.tags = [{ _id: ids.next(changedAt), ...random.pick(texts.requestTags) }];
  if (random.chance(0.06)) {
    const stamps = { updatedAt: iso(changedAt), createdAt: iso(changedAt) };
    row.notes = [{ _id: ids.next(changedAt), text: random.pick(texts.notes), createdBy: agentId, ...stamps }];
  }
  row.updatedAt = iso(Math.min(changedAt, until));
  return row as unknown as Request;
}

/** Bots are in three fields: with a prefix among all, without it among bots. */
function addParticipants(row: TiledeskRow, { team, random }: HistoryTools, agentId: string | undefined): boolean {
  const hasBot = random.chance(0.12);
  const isBotAlone = hasBot && random.chance(0.5);
  const agents = agentId === undefined || isBotAlone ? [] : [agentId];
  const bots = hasBot && agentId !== undefined ? team.bots.map((bot) => bot._id) : [];
  row.participants = [...agents, ...bots.map((id) => `bot_${id}`)];
  row.participantsAgents = agents;
  row.participantsBots = bots;
  return hasBot;
}

type Handling = Readonly<{ at: number; until: number; agentId: string }>;

/** Returns when the row was last written. */
function addAssignment(row: TiledeskRow, tools: HistoryTools, { at, until, agentId }: Handling): number {
  const { team, random, ids } = tools;
  const assignedAt = Math.min(at + random.int(20, 90 * second), until);
  row.assigned_at = iso(assignedAt);
  if (random.chance(0.8)) {
    row.first_response_at = row.assigned_at;
    row.waiting_time = assignedAt - at;
  }
  if (random.chance(0.7)) {
    const image = { type: 'image', metadata: { src: 'https://www.example.com/a.png', width: 10, height: 10 } };
    const extra = random.chance(0.2) ? image : {};
    const message = { _id: ids.next(assignedAt), text: random.pick(texts.replies), at: iso(assignedAt), ...extra };
    row.attributes = { last_message: createMessage(team, row as unknown as Request, { ...message, sender: agentId }) };
  }
  return assignedAt + 40;
}

/** Returns when the row was last written: the rating and the late writes of a close come a little after closed_at. */
function addEnding(row: TiledeskRow, random: Random, input: Handling & { firstText: string }): number {
  const longestMs = random.chance(0.1) ? 20 * day : 5 * hour;
  // Spread over what is left of the history; cut off at its end, hundreds would share the last minute.
  const roomMs = Math.max(0, Math.min(longestMs, input.until - second - input.at));
  const closedAt = input.at + random.int(Math.min(2 * minute, roomMs), roomMs);
  const isRated = random.chance(0.25);
  row.transcript = createTranscript(random, input.at, input.firstText);
  row.duration = closedAt - input.at;
  row.closed_by = random.chance(0.8) ? input.agentId : random.pick(['_bot_unresponded', 'system', '_trigger']);
  row.closed_at = iso(closedAt);
  if (isRated) row.rating = random.int(1, 5);
  if (isRated && random.chance(0.5)) row.rating_message = random.pick(texts.ratingMessages);
  return closedAt + random.int(5, isRated ? 900 : 60);
}

function addAttributes(row: TiledeskRow, random: Random, input: { isAbandoned: boolean; department: string }): void {
  const attributes: TiledeskRow = { ...(row.attributes as object | undefined) };
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

/** `DD/MM/YYYY, HH:mm:ss Name: text`, lines joined by CRLF, as the server writes it; sometimes empty. */
export function createTranscript(random: Random, at: number, firstText: string): string {
  const count = random.chance(0.1) ? 0 : random.int(1, 8);
  const [date = '', time = ''] = iso(at).split('T');
  const head = `${date.split('-').reverse().join('/')}, ${time.slice(0, 6)}`;
  return Array.from({ length: count }, (_, line) => {
    const name = line % 2 === 0 ? 'Guest' : 'Andy Agent';
    return `${head}${line * 7 + 10} ${name}: ${line === 0 ? firstText : random.pick(texts.replies)}`;
  }).join('\r\n');
}
