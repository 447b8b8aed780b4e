/**
 * The simulated project's content and the only way to change it. Each change stamps `updatedAt` as the server's ODM does;
 * the clock behind the stamps never goes back. The HTTP routes, the live changes and the tests all use these same methods.
 */
import { Collection, type StoredDocument } from './collection.ts';
import { Random } from './random.ts';
import { makeRandomChange } from './tiledesk-changes.ts';
import {
  createTeam,
  type Department,
  IdFactory,
  iso,
  type Lead,
  type ProjectUser,
  type Request,
  type Team,
} from './tiledesk-documents.ts';
import { writeHistory } from './tiledesk-generate.ts';
import { createGuestOf, createLead, createRequest, createTranscript, type HistoryTools } from './tiledesk-history.ts';
import {
  asDepartmentRow,
  asMessageRows,
  asProjectUserRow,
  leadForm,
  leadJson,
  plainForm,
  requestJson,
  serialiseEntry,
} from './tiledesk-rows.ts';

export interface TiledeskDataOptions {
  readonly seed: number;
  readonly leads: number;
  readonly requests: number;
  readonly months: number;
  /** End of the generated history; when given, time stands there and only changes move it. */
  readonly now?: number;
  readonly projectId?: string;
  readonly email?: string;
  readonly password?: string;
  readonly role: string;
}

export interface Listable {
  readonly leads: readonly Record<string, unknown>[];
  readonly requests: readonly Record<string, unknown>[];
  readonly departments: readonly Record<string, unknown>[];
  readonly project_users: readonly Record<string, unknown>[];
  readonly bots: readonly Record<string, unknown>[];
  readonly groups: readonly Record<string, unknown>[];
  readonly tags: readonly Record<string, unknown>[];
  readonly messages: readonly Record<string, unknown>[];
}

/** A field set to `undefined` is removed, as `$unset` would. */
type Patch = Readonly<Record<string, unknown>>;

const dayMs = 24 * 3600_000;

function applyPatch<D extends StoredDocument>(doc: D, patch: Patch): D {
  const merged: Record<string, unknown> = { ...doc, ...patch };
  for (const [field, value] of Object.entries(patch)) if (value === undefined) delete merged[field];
  return merged as D;
}

const copiesOf = (docs: readonly StoredDocument[]): Record<string, unknown>[] => JSON.parse(JSON.stringify(docs));

export class TiledeskData {
  readonly team: Team;
  /** For HTTP handlers; tests read `leads` and `requests`. */
  readonly leadCollection = new Collection<Lead>();
  readonly requestCollection = new Collection<Request>();
  /** Visitors' project users by id; not in the default list of members. */
  readonly guests = new Map<string, ProjectUser>();
  readonly #tools: HistoryTools;
  readonly #changes: Random;
  readonly #messageIds: IdFactory;
  readonly #requestsByLead = new Map<string, Set<string>>();
  readonly #requestIds = new Map<string, string>();
  readonly #guestByLead = new Map<string, ProjectUser>();
  /** Messages since the end of the history, by their conversation's `_id`; those of the history are made up when they are asked for. */
  readonly #written = new Map<string, StoredDocument[]>();
  readonly #hasFixedClock: boolean;
  #lastTime: number;
  #lastTicket = 0;

  constructor(options: TiledeskDataOptions) {
    const now = options.now ?? Date.now();
    const startedAt = now - options.months * 30.4 * dayMs;
    const random = new Random(options.seed);
    this.team = createTeam({ ...options, foundedAt: startedAt - dayMs });
    this.#tools = { team: this.team, random, ids: new IdFactory(new Random(options.seed ^ 0x1d5)) };
    this.#changes = new Random(options.seed ^ 0xc4a6);
    this.#messageIds = new IdFactory(new Random(options.seed ^ 0x3e55));
    this.#hasFixedClock = options.now !== undefined;
    this.#lastTime = now;
    writeHistory({ ...options, from: startedAt, to: now, tools: this.#tools, data: this });
  }

  get leads(): ReadonlyMap<string, Lead> {
    return this.leadCollection.docs;
  }

  get requests(): ReadonlyMap<string, Request> {
    return this.requestCollection.docs;
  }

  get departments(): Department[] {
    return this.team.departments;
  }

  get projectUsers(): ProjectUser[] {
    return this.team.projectUsers;
  }

  /** The time of the next change; an explicit one is taken as it is, and later changes never come before it. */
  stamp(at?: number): number {
    const next = at ?? Math.max(this.#lastTime + 1, this.#hasFixedClock ? 0 : Date.now());
    this.#lastTime = Math.max(this.#lastTime, next);
    return next;
  }

  requestByRequestId(requestId: string): Request | undefined {
    const id = this.#requestIds.get(requestId);
    return id === undefined ? undefined : this.requests.get(id);
  }

  insertLead(partial: Partial<Lead> = {}, at?: number): Lead {
    const lead = applyPatch(createLead(this.#tools, this.stamp(at)), partial);
    this.putLead(lead);
    return lead;
  }

  /** As PUT does: the copy of the lead inside all its requests is rewritten in one statement, so they share one `updatedAt`. */
  editLead(id: string, patch: Patch = {}, at?: number): Lead {
    const lead = this.#writeLead(id, patch, at);
    const rewrittenAt = iso(this.stamp(at));
    // The copy's createdAt is the time of the edit (seen in server 2.19).
    const copy = { ...lead, createdAt: rewrittenAt, updatedAt: rewrittenAt };
    for (const requestId of this.#requestsByLead.get(id) ?? []) {
      const request = this.#request(requestId);
      const snapshot = { ...(request.snapshot as object | undefined), lead: copy };
      this.putRequest({ ...request, snapshot, updatedAt: rewrittenAt });
    }
    return lead;
  }

  softDeleteLead(id: string, at?: number): Lead {
    return this.#writeLead(id, { status: 1000 }, at);
  }

  /** Changes the lead alone, as a trigger inside the server does; for what PUT does use `editLead`. */
  setLeadStatus(id: string, status: number, at?: number): Lead {
    return this.#writeLead(id, { status }, at);
  }

  /** Its requests keep the id of the lead that is gone. */
  hardDeleteLead(id: string): boolean {
    return this.leadCollection.delete(id);
  }

  insertRequest(partial: Partial<Request> = {}, at?: number): Request {
    const time = this.stamp(at);
    const lead = partial.lead === undefined ? undefined : this.leads.get(partial.lead);
    const requester = lead && this.guestOf(lead);
    const fresh = { at: time, until: time, ticketId: this.nextTicket(), lead, requester, isFresh: true };
    const request = applyPatch(createRequest(this.#tools, fresh), partial);
    this.putRequest(request);
    return request;
  }

  touchRequest(id: string, patch: Patch = {}, at?: number): Request {
    const request = applyPatch(this.#request(id), { updatedAt: iso(this.stamp(at)), ...patch });
    this.putRequest(request);
    return request;
  }

  /** A close is three writes (seen in server 2.19); `write` does only that one, so that a reader can come in between. */
  closeRequest(id: string, options: { at?: number; closedBy?: string; write?: 1 | 2 | 3 } = {}): Request {
    const { at, write } = options;
    if (write === undefined || write === 1) this.touchRequest(id, { status: 1000 }, at);
    const request = this.#request(id);
    const openedAt = Date.parse(request.createdAt ?? iso(this.#lastTime));
    if (write === undefined || write === 2) {
      const transcript = createTranscript(this.#changes, openedAt, String(request.first_text ?? ''));
      this.touchRequest(id, { transcript }, at);
    }
    if (write === 1 || write === 2) return this.#request(id);
    const closedAt = this.stamp(at);
    const closedBy = options.closedBy ?? request.participants[0] ?? 'system';
    const ending = { closed_at: iso(closedAt), closed_by: closedBy, duration: Math.max(0, closedAt - openedAt) };
    return this.touchRequest(id, ending, at);
  }

  /** Leaves closed_at, closed_by, duration and transcript in place, as the server does. */
  reopenRequest(id: string, at?: number): Request {
    return this.touchRequest(id, { status: this.#request(id).participants.length > 0 ? 200 : 100 }, at);
  }

  hardDeleteRequest(id: string): boolean {
    const request = this.requests.get(id);
    if (!request) return false;
    this.#requestIds.delete(request.request_id);
    if (request.lead) this.#requestsByLead.get(request.lead)?.delete(id);
    this.#written.delete(id);
    return this.requestCollection.delete(id);
  }

  /** As the server does: first the message, then the conversation, whose last message it becomes. */
  writeMessage(id: string, text: string, at?: number): StoredDocument {
    const request = this.#request(id);
    const time = this.stamp(at);
    const sender = this.team.agentIds[0] ?? 'system';
    const agent = this.team.users.get(sender);
    // The history's last message, which the conversation is about to forget.
    const last = (request.attributes as { last_message?: StoredDocument } | undefined)?.last_message;
    const before = this.#written.get(id) ?? (last === undefined ? [] : [last]);
    const message: StoredDocument = {
      senderFullname: `${agent?.firstname} ${agent?.lastname}`,
      type: 'text',
      channel_type: 'group',
      status: 0,
      _id: this.#messageIds.next(time),
      sender,
      recipient: request.request_id,
      text,
      id_project: this.team.projectId,
      createdBy: sender,
      channel: { name: 'chat21' },
      createdAt: iso(time),
      updatedAt: iso(time),
      __v: 0,
    };
    this.#written.set(id, [...before, message]);
    const attributes = { ...(request.attributes as object | undefined), last_message: message };
    this.touchRequest(id, { attributes }, at);
    return message;
  }

  /** Oldest first. */
  messagesOf(request: Request): Record<string, unknown>[] {
    return asMessageRows(request, this.#written.get(request._id) ?? []);
  }

  /** A deterministic series of changes such as a day at work brings; hard deletes only when asked for. */
  randomEdits(count: number, options: { hardDeletes?: boolean } = {}): void {
    for (let done = 0; done < count; done++) makeRandomChange(this, this.#changes, options);
  }

  /** Each row exactly as a list gives it (`no_populate` for requests), in insertion order; messages as those of all conversations. */
  listable(): Listable {
    const messages = (): Listable['messages'] =>
      [...this.requests.values()].flatMap((request) => JSON.parse(JSON.stringify(this.messagesOf(request))));
    return {
      // Three times as many as conversations, and seldom asked for.
      get messages() {
        return messages();
      },
      leads: [...this.leads.values()]
        .filter((lead) => lead.status !== undefined && lead.id_project === this.team.projectId)
        .map((lead) => JSON.parse(leadJson(lead))),
      requests: [...this.requests.values()].map((request) => JSON.parse(requestJson(request))),
      departments: this.departments
        .filter((one) => one.status >= 0)
        .map((one) => JSON.parse(JSON.stringify(asDepartmentRow(one)))),
      project_users: this.projectUsers
        // Removed members too: the list shows them when asked with trashed=true.
        .filter((one) => one.roleType === 1)
        .map((one) => JSON.parse(JSON.stringify(asProjectUserRow(one, this.team.users)))),
      bots: copiesOf(this.team.bots.filter(({ trashed }) => trashed !== true)),
      groups: copiesOf(this.team.groups.filter(({ trashed }) => trashed !== true)),
      tags: copiesOf(this.team.tags),
    };
  }

  /** Serialises every row now, so that a benchmark measures its client and not this server's first answers. */
  warm(): void {
    for (const entry of this.leadCollection.entries()) serialiseEntry(entry, leadForm);
    for (const entry of this.requestCollection.entries()) serialiseEntry(entry, plainForm);
  }

  nextTicket(): number {
    return ++this.#lastTicket;
  }

  guestOf(lead: Lead): ProjectUser {
    const known = this.#guestByLead.get(lead._id);
    if (known) return known;
    const guest = createGuestOf(this.#tools, lead);
    this.#guestByLead.set(lead._id, guest);
    this.guests.set(guest._id, guest);
    return guest;
  }

  requestIdsOf(leadId: string): ReadonlySet<string> {
    return this.#requestsByLead.get(leadId) ?? new Set();
  }

  /** Stores the document as it is, without a stamp. */
  putLead(lead: Lead): void {
    this.leadCollection.put(lead);
  }

  /** Stores the document as it is, without a stamp. */
  putRequest(request: Request): void {
    const before = this.requests.get(request._id);
    if (before?.lead && before.lead !== request.lead) this.#requestsByLead.get(before.lead)?.delete(request._id);
    if (before && before.request_id !== request.request_id) this.#requestIds.delete(before.request_id);
    this.#requestIds.set(request.request_id, request._id);
    if (request.lead && before?.lead !== request.lead) {
      const siblings = this.#requestsByLead.get(request.lead);
      if (siblings) siblings.add(request._id);
      else this.#requestsByLead.set(request.lead, new Set([request._id]));
    }
    this.requestCollection.put(request);
  }

  #writeLead(id: string, patch: Patch, at: number | undefined): Lead {
    const time = iso(this.stamp(at));
    // An unknown id is upserted as a stub without id_project: such a row is in no list (seen in server 2.19).
    const before = this.leads.get(id) ?? { _id: id, tags: [], status: 100, createdAt: time, __v: 0 };
    const lead = applyPatch<Lead>(before, { updatedAt: time, ...patch });
    this.putLead(lead);
    return lead;
  }

  #request(id: string): Request {
    const request = this.requests.get(id);
    if (!request) throw new Error(`The sandbox has no request ${id}`);
    return request;
  }
}
