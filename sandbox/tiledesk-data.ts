/**
 * The simulated project's content and the only way to change it. Changes stamp `updatedAt` as the server's ODM does;
 * the clock behind the stamps never goes back.
 */
import { Collection, createStamp, type StoredDocument } from './collection.ts';
import { Random } from './random.ts';
import { Activities } from './tiledesk-activities.ts';
import { makeRandomChange } from './tiledesk-changes.ts';
import { IdFactory, iso, type Lead, type ProjectUser, type Request } from './tiledesk-documents.ts';
import { writeHistory } from './tiledesk-generate.ts';
import { createLead, createRequest, createTranscript, type HistoryTools } from './tiledesk-history.ts';
import { createMessage, isShown, lastMessageOf, messageRows, plainRow, projectUserRow } from './tiledesk-rows.ts';
import { createGuest, createTeam, type Team, type TeamOptions } from './tiledesk-team.ts';

export interface TiledeskDataOptions extends TeamOptions {
  readonly leads: number;
  readonly requests: number;
  readonly months: number;
  /** End of the generated history; when given, time stands there and only changes move it. */
  readonly now?: number;
  /** The server notes who did what; most do not (source of server 2.19). */
  readonly activities?: boolean;
}

export type Listable = ReturnType<TiledeskData['listable']>;

/** A field set to `undefined` is removed, as `$unset` would. */
type Patch = Readonly<Record<string, unknown>>;

const dayMs = 24 * 3600_000;

function applyPatch<D extends StoredDocument>(doc: D, patch: Patch): D {
  const fields = Object.entries({ ...doc, ...patch }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(fields) as unknown as D;
}

const copyOf = <T>(value: T): T => JSON.parse(JSON.stringify(value));

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

export class TiledeskData {
  readonly team: Team;
  /** A document that is put here is stored as it is, without a stamp. */
  readonly collections = { leads: new Collection<Lead>(), requests: new Collection<Request>() };
  readonly leads: ReadonlyMap<string, Lead> = this.collections.leads.docs;
  readonly requests: ReadonlyMap<string, Request> = this.collections.requests.docs;
  /** Visitors' project users by id; not in the default list of members. */
  readonly guests = new Map<string, ProjectUser>();
  readonly activities: Activities | null = null;
  /** The time of the next change; an explicit one is taken as it is, and later changes never come before it. */
  readonly stamp: (at?: number) => number;
  readonly #tools: HistoryTools;
  readonly #changes: Random;
  readonly #messageIds: IdFactory;
  readonly #guestByLead = new Map<string, ProjectUser>();
  /** From the last one of the history on, once something was written, by their conversation's `_id`. */
  readonly #messages = new Map<string, readonly StoredDocument[]>();
  #lastTicket = 0;

  constructor(options: TiledeskDataOptions) {
    const { seed, months, now = Date.now() } = options;
    const from = now - months * 30.4 * dayMs;
    this.team = createTeam(options, from - dayMs);
    this.#tools = { team: this.team, random: new Random(seed), ids: new IdFactory(new Random(seed ^ 0x1d5)) };
    this.#changes = new Random(seed ^ 0xc4a6);
    this.#messageIds = new IdFactory(new Random(seed ^ 0x3e55));
    this.stamp = createStamp(now, options.now !== undefined);
    writeHistory(this, this.#tools, { ...options, from, to: now });
    if (options.activities !== true) return;
    this.activities = new Activities(this, new Random(seed ^ 0xac71));
    this.activities.writeHistory(now);
  }

  requestIdsOf(leadId: string): ReadonlySet<string> {
    const own = [...this.requests.values()].filter(({ lead }) => lead === leadId);
    return new Set(own.map(({ _id }) => _id));
  }

  insertLead(partial: Partial<Lead> = {}, at?: number): Lead {
    const lead = applyPatch(createLead(this.#tools, this.stamp(at)), partial);
    this.collections.leads.put(lead);
    return lead;
  }

  /** As PUT does: the copies inside its requests are rewritten in one statement, so these share one `updatedAt`. */
  editLead(id: string, patch: Patch = {}, at?: number): Lead {
    const lead = this.#writeLead(id, patch, at);
    const rewrittenAt = iso(this.stamp(at));
    // The copy's createdAt is the time of the edit (seen in server 2.19).
    const copy = { ...lead, createdAt: rewrittenAt, updatedAt: rewrittenAt };
    for (const requestId of this.requestIdsOf(id)) {
      const request = this.#request(requestId);
      const snapshot = { ...(request.snapshot as object | undefined), lead: copy };
      this.collections.requests.put({ ...request, snapshot, updatedAt: rewrittenAt });
    }
    return lead;
  }

  /** Changes the lead alone, as a trigger inside the server and a soft delete do; for what PUT does use `editLead`. */
  setLeadStatus(id: string, status: number, at?: number): Lead {
    return this.#writeLead(id, { status }, at);
  }

  /** Its requests keep the id of the lead that is gone. */
  hardDeleteLead(id: string): boolean {
    return this.collections.leads.delete(id);
  }

  insertRequest(partial: Partial<Request> = {}, at?: number): Request {
    const time = this.stamp(at);
    const lead = partial.lead === undefined ? undefined : this.leads.get(partial.lead);
    const requester = lead && this.guestOf(lead);
    const fresh = { at: time, until: time, ticketId: this.nextTicket(), lead, requester, isFresh: true };
    const request = applyPatch(createRequest(this.#tools, fresh), partial);
    this.collections.requests.put(request);
    this.activities?.opened(request, time);
    return request;
  }

  touchRequest(id: string, patch: Patch = {}, at?: number): Request {
    const before = this.#request(id);
    const time = this.stamp(at);
    const request = applyPatch(before, { updatedAt: iso(time), ...patch });
    this.collections.requests.put(request);
    if (patch.participantsAgents !== undefined) this.activities?.assigned(request, before, time);
    return request;
  }

  /** A close is three writes (seen in server 2.19); `write` does only one, so that a reader can come in between. */
  closeRequest(id: string, options: { at?: number; closedBy?: string; write?: 1 | 2 | 3 } = {}): Request {
    const { at, write } = options;
    const { createdAt, first_text: firstText, participants } = this.#request(id);
    const openedAt = Date.parse(String(createdAt));
    if (write === undefined || write === 1) this.touchRequest(id, { status: 1000 }, at);
    if (write === undefined || write === 2) {
      const transcript = createTranscript(this.#changes, openedAt, String(firstText ?? ''));
      this.touchRequest(id, { transcript }, at);
    }
    if (write === 1 || write === 2) return this.#request(id);
    const closedAt = this.stamp(at);
    const closedBy = options.closedBy ?? participants[0] ?? 'system';
    const ending = { closed_at: iso(closedAt), closed_by: closedBy, duration: Math.max(0, closedAt - openedAt) };
    const request = this.touchRequest(id, ending, at);
    this.activities?.closed(request, closedAt);
    return request;
  }

  /** Leaves closed_at, closed_by, duration and transcript as they are, like the server. */
  reopenRequest(id: string, at?: number): Request {
    const status = this.#request(id).participants.length > 0 ? 200 : 100;
    return this.touchRequest(id, { status }, at);
  }

  hardDeleteRequest(id: string): boolean {
    this.#messages.delete(id);
    return this.collections.requests.delete(id);
  }

  /** As the server does: first the message, then the conversation, whose last message it becomes. */
  writeMessage(id: string, text: string, at?: number): StoredDocument {
    const request = this.#request(id);
    const time = this.stamp(at);
    const sender = this.team.agentIds[0] ?? 'system';
    const fields = { _id: this.#messageIds.next(time), at: iso(time), sender, text };
    const message = createMessage(this.team, request, fields);
    this.#messages.set(id, [...(this.#messages.get(id) ?? lastMessageOf(request)), message]);
    const attributes = { ...(request.attributes as object | undefined), last_message: message };
    this.touchRequest(id, { attributes }, at);
    return message;
  }

  messagesOf(request: Request): StoredDocument[] {
    return messageRows(this.team, request, this.#messages.get(request._id) ?? []);
  }

  randomEdits(count: number, options: { hardDeletes?: boolean } = {}): void {
    for (let done = 0; done < count; done++) makeRandomChange(this, this.#changes, options);
  }

  /** Each row exactly as a list gives it (`no_populate` for requests), in insertion order. */
  listable() {
    const { team } = this;
    const requests = [...this.requests.values()];
    const isListed = (lead: Lead) => lead.status !== undefined && lead.id_project === team.projectId;
    const small = copyOf({
      departments: team.departments.filter(({ status }) => status >= 0),
      // Removed members too: the list shows them when asked with trashed=true.
      project_users: team.projectUsers.filter((one) => one.roleType === 1).map((one) => projectUserRow(one, team)),
      bots: team.bots.filter(isShown),
      groups: team.groups.filter(isShown),
      tags: team.tags,
    });
    const leads = [...this.leads.values()].filter(isListed);
    // These are long, and seldom asked for together.
    const lazy = {
      leads: once(() => copyOf(leads)),
      requests: once(() => copyOf(requests.map(plainRow))),
      messages: once(() => copyOf(requests.flatMap((request) => this.messagesOf(request)))),
      activities: once(() => copyOf([...(this.activities?.collection.docs.values() ?? [])])),
    };
    return {
      ...small,
      get leads() {
        return lazy.leads();
      },
      get requests() {
        return lazy.requests();
      },
      get messages() {
        return lazy.messages();
      },
      get activities() {
        return lazy.activities();
      },
    };
  }

  nextTicket(): number {
    return ++this.#lastTicket;
  }

  /** The visitor's project user; made together with the first conversation. */
  guestOf(lead: Lead): ProjectUser {
    const known = this.#guestByLead.get(lead._id);
    if (known) return known;
    const at = lead.createdAt ?? iso(0);
    const id = this.#tools.ids.next(Date.parse(at));
    const guest = createGuest({ id, uuid: lead.lead_id ?? id, projectId: this.team.projectId, at });
    this.#guestByLead.set(lead._id, guest);
    this.guests.set(guest._id, guest);
    return guest;
  }

  #writeLead(id: string, patch: Patch, at: number | undefined): Lead {
    const time = iso(this.stamp(at));
    // An unknown id is upserted as a stub without id_project: such a row is in no list (seen in server 2.19).
    const before = this.leads.get(id) ?? { _id: id, tags: [], status: 100, createdAt: time, __v: 0 };
    const lead = applyPatch<Lead>(before, { updatedAt: time, ...patch });
    this.collections.leads.put(lead);
    return lead;
  }

  #request(id: string): Request {
    const request = this.requests.get(id);
    if (!request) throw new Error(`The sandbox has no request ${id}`);
    return request;
  }
}
