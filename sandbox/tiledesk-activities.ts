/**
 * Who did what, with a copy of all that it is about, where `ACTIVITY_HISTORY_ENABLED` is set (source of server 2.19
 * and of later ones). An entry never changes; what is older than 30 days is removed.
 */
import { Collection, type StoredDocument } from './collection.ts';
import type { Random } from './random.ts';
import type { TiledeskData } from './tiledesk-data.ts';
import { IdFactory, iso, type Request } from './tiledesk-documents.ts';
import { populatedRow, projectUserRow } from './tiledesk-rows.ts';

interface Entry {
  readonly verb: string;
  readonly actor: { readonly type: 'user' | 'system'; readonly id: string; readonly name?: string };
  readonly actionObj: object;
  readonly target: { readonly type: string; readonly id: string; readonly object: object };
}

type Happened = readonly [at: number, entry: Entry];

export const KEPT_MS = 30 * 24 * 3600_000;

const system = { type: 'system', id: 'system', name: 'System' } as const;

export class Activities {
  readonly collection = new Collection<StoredDocument>();
  readonly #data: TiledeskData;
  readonly #ids: IdFactory;

  constructor(data: TiledeskData, random: Random) {
    this.#data = data;
    this.#ids = new IdFactory(random);
  }

  writeHistory(to: number): void {
    const happened = [...this.#data.requests.values()].flatMap((request) => this.#storyOf(request));
    const kept = [...happened, ...this.#teamStory(to)].filter(([at]) => at >= to - KEPT_MS && at <= to);
    for (const [at, entry] of kept.toSorted(([a], [b]) => a - b)) this.#put(at, entry);
  }

  opened(request: Request, at: number): void {
    for (const entry of this.#creation(request)) this.#put(at, entry);
  }

  closed(request: Request, at: number): void {
    this.#put(at, this.#ending(request));
  }

  assigned(request: Request, before: Request, at: number): void {
    this.#put(at, this.#assignment(request, before));
  }

  /** As the server's retention does. */
  removeBefore(at: number): void {
    for (const { _id, createdAt } of [...this.collection.docs.values()]) {
      if (Date.parse(String(createdAt)) < at) this.collection.delete(_id);
    }
  }

  #put(at: number, { actor, ...entry }: Entry): void {
    const [createdAt, id_project] = [iso(at), this.#data.team.projectId];
    const own = { _id: this.#ids.next(at), actor: { _id: this.#ids.next(at), ...actor }, ...entry };
    this.collection.put({ ...own, id_project, createdAt, updatedAt: createdAt, __v: 0 });
  }

  #storyOf(request: Request): Happened[] {
    const timeOf = (field: string): number => Date.parse(String(request[field] ?? ''));
    const [agent] = agentsOf(request);
    const auto = { actor: system, verb: 'REQUEST_ASSIGNED_AUTO', ...this.#about(request) };
    return [
      ...this.#creation(request).map((entry): Happened => [timeOf('createdAt'), entry]),
      ...(agent === undefined || request.assigned_at === undefined
        ? []
        : [[timeOf('assigned_at'), { ...auto, actionObj: assignmentOf(agent, 'auto', 'queue') }] as const]),
      ...(request.closed_at === undefined ? [] : [[timeOf('closed_at'), this.#ending(request)] as const]),
    ];
  }

  /** The requester is the actor: without one nothing is saved. A conversation that is not begun yet is none. */
  #creation(request: Request): Entry[] {
    if (request.preflight === true || request.lead === undefined) return [];
    const name = this.#data.leads.get(request.lead)?.fullname;
    const actor = { type: 'user', id: request.lead, ...(name !== undefined && { name }) } as const;
    return [{ verb: 'REQUEST_CREATE', actor, ...this.#about(request) }];
  }

  #ending(request: Request): Entry {
    return { verb: 'REQUEST_CLOSE', actor: { type: 'user', id: String(request.closed_by) }, ...this.#about(request) };
  }

  #assignment(request: Request, before: Request): Entry {
    const [assignee] = agentsOf(request);
    const [previous] = agentsOf(before);
    const supervisor = this.#data.team.accounts.find(({ role }) => role === 'supervisor')?.userId ?? 'system';
    const about = { ...this.#about(request), actor: this.#user(supervisor) };
    if (assignee === undefined) {
      const actionObj = assignmentOf(previous ?? '', 'unassign', 'api', { removedParticipants: [previous] });
      return { ...about, verb: 'REQUEST_UNASSIGNED', actionObj };
    }
    const more = previous === undefined ? {} : { previousAssigneeId: previous, removedParticipants: [previous] };
    const actionObj = assignmentOf(assignee, 'manual_reassign', 'api', more);
    return { ...about, verb: 'REQUEST_ASSIGNED_MANUAL', actionObj };
  }

  #teamStory(to: number): Happened[] {
    const { accounts, projectUsers, projectId } = this.#data.team;
    const [main] = accounts;
    const hour = 3600_000;
    const happened = projectUsers.slice(0, 6).flatMap((member, index): Happened[] => {
      if (member.id_user === undefined || main === undefined) return [];
      const target = { type: 'project_user', id: member._id, object: projectUserRow(member, this.#data.team) };
      const away = { user_available: false, newStatus: 'unavailable', updateType: 'self', source: 'api' };
      const self = this.#user(member.id_user);
      const left: Entry = { verb: 'PROJECT_USER_AVAILABILITY_SELF', actor: self, actionObj: away, target };
      const actor = this.#user(main.userId);
      const promoted: Entry = { verb: 'PROJECT_USER_UPDATE', actor, actionObj: { role: 'agent' }, target };
      return [[to - (index + 1) * hour, left], ...(index === 3 ? [[to - 50 * hour, promoted] as const] : [])];
    });
    const invitation = { email: 'invited@example.com', role: 'agent', id_project: projectId };
    const invited: Entry = {
      verb: 'PROJECT_USER_INVITE',
      actor: this.#user(main?.userId ?? ''),
      actionObj: { email: invitation.email, role: 'agent', user_available: true },
      target: { type: 'pendinginvitation', id: this.#ids.next(to - 60 * hour), object: invitation },
    };
    return [...happened, [to - 60 * hour, invited]];
  }

  #user(id: string): Entry['actor'] {
    const { firstname, lastname } = this.#data.team.users.get(id) ?? {};
    return { type: 'user', id, name: `${firstname} ${lastname}` };
  }

  #about(request: Request): Pick<Entry, 'actionObj' | 'target'> {
    const object = populatedRow(request, this.#data);
    return { actionObj: object, target: { type: 'request', id: request._id, object } };
  }
}

const agentsOf = ({ participantsAgents }: Request): readonly string[] =>
  (participantsAgents ?? []) as readonly string[];

const assignmentOf = (assigneeId: string, assignmentType: string, source: string, more: object = {}): object => ({
  assigneeId,
  assigneeType: 'user',
  assignmentType,
  source,
  ...more,
});
