import type { TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import type { TilkeeSandbox } from '../../sandbox/tilkee.ts';

/**
 * What each view has to show, computed from the sandboxes' own documents the straightforward way: lists, loops and `Intl` for time zones. It shares no code
 * with the program and knows nothing of the precomputed tables.
 */

type Document = Record<string, unknown>;
export type Row = Record<string, unknown>;

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
const idOf = (value: unknown): string | null =>
  text(typeof value === 'object' && value !== null ? (value as Document)._id : value);
const instant = (value: unknown): number | null => (typeof value === 'string' ? Date.parse(value) : null);
const list = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

export class Calendar {
  readonly #format: Intl.DateTimeFormat;

  constructor(timeZone: string) {
    const two = '2-digit' as const;
    this.#format = new Intl.DateTimeFormat('en-GB', {
      ...{ timeZone, year: 'numeric', month: two, day: two, hour: two, hourCycle: 'h23', weekday: 'long' },
    });
  }

  at(ms: number): { day: string; hour: string; weekday: string } {
    const parts = Object.fromEntries(this.#format.formatToParts(ms).map(({ type, value }) => [type, value]));
    const { year, month, day, hour = '', weekday = '' } = parts;
    return { day: `${year}-${month}-${day}`, hour, weekday };
  }
}

interface Conversation {
  readonly id: string;
  readonly lead: string | null;
  readonly status: number;
  readonly openedAt: number;
  readonly opened: { day: string; hour: string; weekday: string };
  readonly closedAt: number | null;
  readonly closedOn: string | null;
  readonly channel: string | null;
  readonly department: string | null;
  readonly agents: readonly string[];
  readonly closer: string | null;
  readonly rating: number | null;
  readonly isAnswered: boolean;
  readonly isOpen: boolean;
  readonly firstResponseMs: number | null;
  readonly resolutionMs: number | null;
}

export function createExpectation(tiledesk: TiledeskSandbox, tilkee: TilkeeSandbox, timeZone: string) {
  const calendar = new Calendar(timeZone);
  const connection_id = `tiledesk:${tiledesk.projectId}`;
  const listed = tiledesk.data.listable();
  const conversations = listed.requests.filter(isReal).map((request) => asConversation(request, calendar));
  const departments = new Map(listed.departments.map((one) => [String(one._id), text(one.name)]));
  const agents = new Map(listed.project_users.map((one) => memberName(one)));
  return {
    requests_daily: () => requestsDaily(conversations, departments, connection_id),
    csat: () => csat(conversations, departments, connection_id),
    response_times: () => responseTimes(conversations, { departments, agents, connection_id }),
    agent_activity: () => agentActivity(conversations, agents, connection_id),
    open_backlog: (now: number) => openBacklog(conversations, departments, connection_id, now),
    lead_funnel: () => leadFunnel(listed.leads.filter(isRealLead), conversations, calendar, connection_id),
    link_engagement: () => links(tilkee, calendar).map(({ email: _, phone: __, ...row }) => row),
    lead_360: () => people(listed.leads.filter(isRealLead), conversations, links(tilkee, calendar), connection_id),
    conversations,
  };
}

const isReal = (request: Document): boolean =>
  request.draft !== true && request.preflight !== true && request.status !== 50;
const isRealLead = (lead: Document): boolean => lead.status !== 50 && lead.status !== 1000;

function memberName(member: Document): [string, string | null] {
  const user = (typeof member.id_user === 'object' ? member.id_user : {}) as Document;
  const name = [user.firstname, user.lastname].filter(Boolean).join(' ');
  return [String(idOf(member.id_user)), name === '' ? text(user.email) : name];
}

function asConversation(request: Document, calendar: Calendar): Conversation {
  const openedAt = instant(request.createdAt) as number;
  const status = request.status as number;
  const isClosed = status === 1000;
  const closedAt = isClosed ? instant(request.closed_at) : null;
  const answeredAt = instant(request.first_response_at);
  const waited = (request.waiting_time as number | undefined) ?? null;
  const closer = text(request.closed_by);
  const isPerson =
    closer !== null &&
    closer !== 'system' &&
    !/^(_|bot_)/.test(closer) &&
    !list(request.participantsBots).includes(closer);
  return {
    id: String(request._id),
    lead: idOf(request.lead),
    status,
    openedAt,
    opened: calendar.at(openedAt),
    closedAt,
    closedOn: closedAt === null ? null : calendar.at(closedAt).day,
    channel: text((request.channel as Document | undefined)?.name),
    department: idOf(request.department),
    agents: [...new Set(list(request.participantsAgents))],
    closer: isClosed && isPerson ? closer : null,
    rating: (request.rating as number | undefined) ?? null,
    isAnswered: answeredAt !== null || waited !== null,
    isOpen: status !== 1000 && status !== 150,
    firstResponseMs: answeredAt === null ? waited : answeredAt - openedAt,
    resolutionMs: !isClosed
      ? null
      : closedAt !== null
        ? closedAt - openedAt
        : ((request.duration as number | undefined) ?? null),
  };
}

type Names = ReadonlyMap<string, string | null>;

/** Groups keep the order of their first member; a group's key is any list of values. */
function groupBy<T>(
  items: readonly T[],
  keyOf: (item: T) => readonly unknown[],
): { key: readonly unknown[]; members: T[] }[] {
  const groups = new Map<string, { key: readonly unknown[]; members: T[] }>();
  for (const item of items) {
    const key = keyOf(item);
    const name = JSON.stringify(key);
    const group = groups.get(name);
    if (group) group.members.push(item);
    else groups.set(name, { key, members: [item] });
  }
  return [...groups.values()];
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
const nameIn = (names: Names, id: unknown): string | null => (id === null ? null : (names.get(String(id)) ?? null));

function requestsDaily(conversations: readonly Conversation[], departments: Names, connection_id: string): Row[] {
  const events = conversations.flatMap((one) => [
    { one, kind: 'opened', day: one.opened.day },
    ...(one.closedOn === null ? [] : [{ one, kind: 'closed', day: one.closedOn }]),
  ]);
  return groupBy(events, ({ one, day }) => [day, one.channel, one.department]).map(({ key, members }) => {
    const [day, channel, department_id] = key;
    const count = (kind: string) => members.filter((event) => event.kind === kind).length;
    const abandoned = members.filter(({ one, kind }) => kind === 'opened' && one.status === 150).length;
    const department = nameIn(departments, department_id);
    return {
      connection_id,
      day,
      channel,
      department_id,
      department,
      opened: count('opened'),
      closed: count('closed'),
      abandoned,
    };
  });
}

function csat(conversations: readonly Conversation[], departments: Names, connection_id: string): Row[] {
  const groups = groupBy(conversations, (one) => [one.opened.day, one.channel, one.department]);
  return groups.flatMap(({ key: [day, channel, department_id], members }) => {
    const ratings = members.flatMap(({ rating }) => (rating === null ? [] : [rating]));
    if (ratings.length === 0) return [];
    const satisfied = ratings.filter((rating) => rating >= 4).length;
    const numbers = { opened: members.length, rated: ratings.length, satisfied, rating_sum: sum(ratings) };
    const averages = {
      average_rating: sum(ratings) / ratings.length,
      satisfied_percent: (100 * satisfied) / ratings.length,
    };
    return [
      {
        connection_id,
        day,
        channel,
        department_id,
        department: nameIn(departments, department_id),
        ...numbers,
        ...averages,
      },
    ];
  });
}

/** Linear between the two nearest, as a spreadsheet does it. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return null;
  const place = share * (sorted.length - 1);
  const low = sorted[Math.floor(place)] as number;
  const high = sorted[Math.ceil(place)] as number;
  return low + (high - low) * (place - Math.floor(place));
}

const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

interface Lookup {
  readonly departments: Names;
  readonly agents: Names;
  readonly connection_id: string;
}

function responseTimes(conversations: readonly Conversation[], { departments, agents, connection_id }: Lookup): Row[] {
  const cells = conversations.flatMap((one) => {
    const { day, hour, weekday } = one.opened;
    const dimensions: [string, string, string | null][] = [
      ['all', '', null],
      ['department', one.department ?? '', nameIn(departments, one.department)],
      ['weekday', String(WEEKDAYS.indexOf(weekday) + 1), weekday],
      ['hour', hour, `${hour}:00`],
      ...one.agents.map((agent): [string, string, string | null] => ['agent', agent, nameIn(agents, agent)]),
    ];
    return [`${day.slice(0, 7)}-01`, null].flatMap((month) =>
      dimensions.map((dimension) => ({ one, month, dimension })),
    );
  });
  return groupBy(cells, ({ month, dimension }) => [month, ...dimension]).map(
    ({ key: [month, dimension, key, label], members }) => {
      const first = members.flatMap(({ one }) => one.firstResponseMs ?? []);
      const resolution = members.flatMap(({ one }) => one.resolutionMs ?? []);
      const seconds = (values: readonly number[], share: number) => {
        const ms = percentile(values, share);
        return ms === null ? null : ms / 1000;
      };
      return {
        ...{ connection_id, month, dimension, key, label, requests: members.length },
        ...{
          answered: first.length,
          first_response_median_seconds: seconds(first, 0.5),
          first_response_p90_seconds: seconds(first, 0.9),
          first_response_business_median_seconds: null,
          first_response_business_p90_seconds: null,
        },
        ...{
          resolved: resolution.length,
          resolution_median_seconds: seconds(resolution, 0.5),
          resolution_p90_seconds: seconds(resolution, 0.9),
        },
      };
    },
  );
}

function agentActivity(conversations: readonly Conversation[], agents: Names, connection_id: string): Row[] {
  const events = conversations.flatMap((one) => [
    ...one.agents.map((agent) => ({ one, kind: 'opened', day: one.opened.day, agent })),
    ...(one.closer === null || one.closedOn === null
      ? []
      : [{ one, kind: 'closed', day: one.closedOn, agent: one.closer }]),
  ]);
  return groupBy(events, ({ day, agent }) => [day, agent]).map(({ key: [day, agent_id], members }) => {
    const opened = members.filter(({ kind }) => kind === 'opened').map(({ one }) => one);
    const ratings = opened.flatMap(({ rating }) => (rating === null ? [] : [rating]));
    return {
      ...{ connection_id, day, agent_id, agent: nameIn(agents, agent_id), requests: opened.length },
      ...{ answered: opened.filter(({ isAnswered }) => isAnswered).length, closed: members.length - opened.length },
      ...{
        rated: ratings.length,
        rating_sum: sum(ratings),
        average_rating: ratings.length === 0 ? null : sum(ratings) / ratings.length,
      },
    };
  });
}

function openBacklog(
  conversations: readonly Conversation[],
  departments: Names,
  connection_id: string,
  now: number,
): Row[] {
  const open = conversations.filter(({ isOpen }) => isOpen);
  const hour = 3_600_000;
  return groupBy(open, (one) => [one.department, one.channel, one.status]).map(
    ({ key: [department_id, channel, status], members }) => {
      const aged = (from: number, to: number) =>
        members.filter(({ openedAt }) => now - openedAt >= from * hour && now - openedAt < to * hour).length;
      return {
        ...{
          connection_id,
          department_id,
          department: nameIn(departments, department_id),
          channel,
          status,
          status_name: ({ 100: 'unassigned', 200: 'assigned' } as Record<number, string>)[Number(status)],
          open: members.length,
        },
        unanswered: members.filter(({ isAnswered }) => !isAnswered).length,
        oldest_opened_at: Math.min(...members.map(({ openedAt }) => openedAt)),
        ...{
          under_1_hour: aged(0, 1),
          under_1_day: aged(1, 24),
          under_7_days: aged(24, 168),
          older: aged(168, Number.POSITIVE_INFINITY),
        },
      };
    },
  );
}

function leadFunnel(
  leads: readonly Document[],
  conversations: readonly Conversation[],
  calendar: Calendar,
  connection_id: string,
): Row[] {
  const byLead = new Map(groupBy(conversations, ({ lead }) => [lead]).map(({ key, members }) => [key[0], members]));
  const days = groupBy(leads, (lead) => [calendar.at(instant(lead.createdAt) as number).day]);
  return days.map(({ key: [day], members }) => {
    const reached = (isReached: (one: Conversation) => boolean) =>
      members.filter((lead) => (byLead.get(String(lead._id)) ?? []).some(isReached)).length;
    return {
      ...{ connection_id, day, leads: members.length, with_request: reached(() => true) },
      answered: reached(({ isAnswered }) => isAnswered),
      closed: reached(({ isAnswered, status }) => isAnswered && status === 1000),
      rated: reached(({ isAnswered, status, rating }) => isAnswered && status === 1000 && rating !== null),
    };
  });
}

interface Link extends Row {
  readonly link_id: string;
  readonly name: string | null;
  readonly external_id: string | null;
  readonly sent_at: number;
  readonly email: string | null;
  readonly phone: string | null;
}

const mail = (value: string | null): string | null =>
  value?.toLowerCase().match(/[a-z0-9._%+'-]+@[a-z0-9-]+(\.[a-z0-9-]+)+/)?.[0] ?? null;

function telephone(value: string | null): string | null {
  const digits = (value ?? '').replace(/\D/g, '').replace(/^00/, '');
  return digits.length < 7 || digits.length > 15 || new Set(digits).size === 1 ? null : digits;
}

const abroad = (value: string | null): string | null =>
  /^\s*(\+|00)[0-9 ()./-]+$/.test(value ?? '') ? telephone(value) : null;

function links(tilkee: TilkeeSandbox, calendar: Calendar): Link[] {
  const listed = tilkee.data.listable();
  const projects = new Map(listed.projectsV3.map((project) => [String(project.id), project]));
  const users = new Map(
    listed.users.map((user) => [String(user.id), [user.first_name, user.last_name].filter(Boolean).join(' ')]),
  );
  return listed.tokens.map((token) => {
    const visits = tilkee.data.all('connexion').filter(({ token_id }) => token_id === token.id);
    const [name, external_id] = [text(token.name), token.external_id === null ? null : text(String(token.external_id))];
    const project = projects.get(String(token.project_id));
    const sent_at = instant(token.created_at) as number;
    const creator_id = token.creator_id === undefined || token.creator_id === null ? null : String(token.creator_id);
    const known = (values: readonly (number | null)[]) => values.filter((value) => value !== null);
    const firsts = known([instant(token.first_access_at), ...visits.map(({ access_date }) => access_date)]);
    const lasts = known([instant(token.last_sign_in_at), ...visits.map(({ access_date }) => access_date)]);
    const shares = known([
      (token.percentage_read as number | undefined) ?? null,
      ...visits.map((visit) => visit.percentage_read),
    ]);
    return {
      ...{
        connection_id: 'tilkee:default',
        link_id: String(token.id),
        name,
        external_id,
        project_id: String(token.project_id),
      },
      ...{
        project: text(project?.name),
        creator_id,
        creator: creator_id === null ? null : (users.get(creator_id) ?? null),
      },
      ...{ sent_at, sent_on: calendar.at(sent_at).day, archived_at: instant(token.archived_at) },
      is_opened: token.consulted === true || visits.length > 0,
      first_opened_at: firsts.length === 0 ? null : Math.min(...firsts),
      last_opened_at: lasts.length === 0 ? null : Math.max(...lasts),
      visits: Math.max(visits.length, (token.nb_connections as number | undefined) ?? 0),
      time_read_seconds:
        Math.max(sum(visits.map(({ total_time }) => total_time)), (token.total_time as number | undefined) ?? 0) / 1000,
      percent_read: shares.length === 0 ? null : Math.max(...shares),
      is_signed: token.signed === true || visits.some(({ signed }) => signed),
      is_downloaded: token.downloaded === true || token.downloaded === 1,
      interest: (token.interest as number | undefined) ?? null,
      verdict: token.won === 'won' || token.won === 'lost' ? token.won : text(project?.verdict),
      ...{ email: mail(external_id) ?? mail(name), phone: abroad(external_id) ?? abroad(name) },
    };
  });
}

/** Newest first; of the same age the greater id. */
function newest<T>(items: readonly T[], timeOf: (item: T) => number, idOfItem: (item: T) => string): T[] {
  const byId = (a: T, b: T) => (idOfItem(a) < idOfItem(b) ? 1 : -1);
  return [...items].sort((a, b) => timeOf(b) - timeOf(a) || byId(a, b));
}

function people(
  leads: readonly Document[],
  conversations: readonly Conversation[],
  allLinks: readonly Link[],
  connection: string,
): Row[] {
  const createdAt = (lead: Document) => instant(lead.createdAt) as number;
  const leadsByAge = newest(leads, createdAt, (lead) => String(lead._id));
  const addressesOf = (phone: string) =>
    new Set(
      leads.filter((lead) => telephone(text(lead.phone)) === phone).flatMap((lead) => mail(text(lead.email)) ?? []),
    );
  const byPhone = (phone: string): string => {
    const addresses = [...addressesOf(phone)];
    return addresses.length === 1 ? `email:${addresses[0]}` : `phone:${phone}`;
  };
  const whoIs = (lead: Document): { key: string; rule: string | null } => {
    const [email, phone] = [mail(text(lead.email)), telephone(text(lead.phone))];
    if (email !== null) return { key: `email:${email}`, rule: 'email' };
    return phone !== null
      ? { key: byPhone(phone), rule: 'phone' }
      : { key: `lead:${connection}:${lead._id}`, rule: null };
  };
  const whoseIs = (link: Link): { key: string; rule: string | null } => {
    const named = leadsByAge.find(
      (lead) => link.external_id !== null && [lead._id, lead.lead_id].includes(link.external_id),
    );
    if (named !== undefined) return { key: whoIs(named).key, rule: 'external_id' };
    if (link.email !== null) return { key: `email:${link.email}`, rule: 'email' };
    if (link.phone !== null) return { key: byPhone(link.phone), rule: 'phone' };
    return { key: `link:tilkee:default:${link.link_id}`, rule: null };
  };
  const ofLeads = leadsByAge.map((lead) => ({ lead, link: null, ...whoIs(lead) }));
  const ofLinks = newest(
    allLinks,
    ({ sent_at }) => sent_at,
    ({ link_id }) => link_id,
  ).map((link) => ({ lead: null, link, ...whoseIs(link) }));
  return groupBy([...ofLeads, ...ofLinks], ({ key }) => [key]).map(({ key: [person_key], members }) => {
    const mine = members.flatMap(({ lead, rule }) => (lead === null ? [] : [{ lead, rule }]));
    const sent = members.flatMap(({ link, rule }) => (link === null ? [] : [{ link, rule }]));
    const ids = mine.map(({ lead }) => String(lead._id));
    const chats = conversations.filter(({ lead }) => lead !== null && ids.includes(lead));
    const rules = new Set(sent.flatMap(({ rule }) => rule ?? []));
    if (mine.filter(({ rule }) => rule === 'email').length > 1) rules.add('email');
    if (mine.length > 1 && mine.some(({ rule }) => rule === 'phone')) rules.add('phone');
    const firstOf = <T>(values: readonly (T | null)[]): T | null => values.find((value) => value !== null) ?? null;
    const has = (verdict: string) => sent.some(({ link }) => link.verdict === verdict);
    const numbers = (column: string) => sent.flatMap(({ link }) => (link[column] as number | null) ?? []);
    const most = (values: readonly number[]) => (values.length === 0 ? null : Math.max(...values));
    const phoneOfLink = firstOf(sent.map(({ link }) => link.phone));
    return {
      person_key,
      name: firstOf([...mine.map(({ lead }) => text(lead.fullname)), ...sent.map(({ link }) => link.name)]),
      email: firstOf([...mine.map(({ lead }) => mail(text(lead.email))), ...sent.map(({ link }) => link.email)]),
      phone:
        firstOf(mine.map(({ lead }) => (telephone(text(lead.phone)) === null ? null : text(lead.phone)))) ??
        (phoneOfLink === null ? null : `+${phoneOfLink}`),
      company: firstOf(mine.map(({ lead }) => text(lead.company))),
      matched_by: members.length > 1 && rules.size > 0 ? [...rules].sort() : null,
      ...{
        leads: mine.length,
        links: sent.length,
        lead_ids: [...ids].reverse(),
        link_ids: sent.map(({ link }) => link.link_id).reverse(),
      },
      first_seen_at: Math.min(...mine.map(({ lead }) => createdAt(lead)), ...sent.map(({ link }) => link.sent_at)),
      ...{ requests: chats.length, open_requests: chats.filter(({ isOpen }) => isOpen).length },
      last_chat_at: most(chats.map(({ openedAt }) => openedAt)),
      ...{
        visits: sum(numbers('visits')),
        last_visit_at: most(numbers('last_opened_at')),
        time_read_seconds: sum(numbers('time_read_seconds')),
      },
      ...{ percent_read: most(numbers('percent_read')), interest: most(numbers('interest')) },
      outcome: sent.some(({ link }) => link.is_signed) ? 'signed' : has('won') ? 'won' : has('lost') ? 'lost' : null,
    };
  });
}
