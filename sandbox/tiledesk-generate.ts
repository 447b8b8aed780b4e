/** Writes months of history into an empty project: who wrote when, which leads were edited, removed or never became real. */
import { Random } from './random.ts';
import type { TiledeskData } from './tiledesk-data.ts';
import { iso, type Lead, type Request } from './tiledesk-documents.ts';
import { createLead, createRequest, type HistoryTools } from './tiledesk-history.ts';

interface HistoryPlan {
  readonly seed: number;
  readonly leads: number;
  readonly requests: number;
  readonly from: number;
  readonly to: number;
  readonly tools: HistoryTools;
  readonly data: TiledeskData;
}

const hour = 3600_000;

/** Ascending moments; now and then two share a millisecond. */
function spreadTimes(random: Random, count: number, from: number, to: number): number[] {
  const times = Array.from({ length: count }, () => Math.floor(from + random.next() * (to - from))).sort(
    (a, b) => a - b,
  );
  for (let place = 1; place < count; place++) {
    if (place % 211 === 5) times[place] = times[place - 1] as number;
  }
  return times;
}

export function writeHistory(plan: HistoryPlan): void {
  const random = new Random(plan.seed ^ 0x4157);
  const leads = writeLeads(plan, random);
  writeRequests(plan, random, leads);
  editSomeLeads(plan, random, leads);
}

function writeLeads({ tools, data, ...plan }: HistoryPlan, random: Random): Lead[] {
  const times = spreadTimes(random, plan.leads, plan.from, plan.to - 2 * hour);
  return times.map((at, place) => {
    if (place % 500 === 499) tools.ids.restart();
    const lead = createLead(tools, at);
    data.putLead(lead);
    return lead;
  });
}

/** About one request in twenty belongs to one regular customer, so that an edit of that lead makes a tie larger than a page. */
const regularShare = 0.05;
const regularMinimum = 130;

function writeRequests({ tools, data, ...plan }: HistoryPlan, random: Random, leads: readonly Lead[]): void {
  const times = spreadTimes(random, plan.requests, plan.from, plan.to);
  const regular = leads[0];
  const regularProbability = Math.min(0.6, Math.max(regularShare, regularMinimum / Math.max(1, plan.requests)));
  let known = 0;
  for (const [place, at] of times.entries()) {
    if (place % 700 === 699) tools.ids.restart();
    while (known < leads.length && Date.parse(leads[known]?.createdAt ?? '') <= at) known++;
    const chosen = random.chance(regularProbability) ? regular : leads[random.int(0, Math.max(0, known - 1))];
    const hasLead = chosen !== undefined && random.chance(0.98);
    // A teammate trying the widget is a requester with an account; the others are guests.
    const member = data.projectUsers[random.int(0, 5)];
    const requester = hasLead
      ? random.chance(0.02)
        ? member
        : data.guestOf(chosen)
      : random.chance(0.5)
        ? member
        : undefined;
    const isOldForm = place < times.length * 0.08;
    const ticketId = isOldForm ? 0 : data.nextTicket();
    const lead = hasLead ? chosen : undefined;
    const request = createRequest(tools, { at, until: plan.to, ticketId, lead, requester, isOldForm });
    // The lead of a few was hard-deleted later: the id stays and leads nowhere.
    data.putRequest(hasLead && random.chance(0.005) ? { ...request, lead: tools.ids.next(at) } : request);
  }
}

function editSomeLeads({ data, ...plan }: HistoryPlan, random: Random, leads: readonly Lead[]): void {
  for (const [place, lead] of leads.entries()) {
    const isRegular = place === 0;
    const draw = random.next();
    if (!isRegular && draw > 0.24) continue;
    const requests = [...data.requestIdsOf(lead._id)].map((id) => data.requests.get(id) as Request);
    const earliest = Math.max(
      Date.parse(lead.createdAt ?? ''),
      ...requests.map((one) => Date.parse(one.updatedAt ?? '')),
    );
    const editedAt = isRegular ? plan.to - hour : Math.floor(earliest + random.next() * (plan.to - earliest));
    const updatedAt = iso(editedAt);
    if (isRegular || draw < 0.12) {
      const edited = { ...lead, ...(lead.fullname && { fullname: `${lead.fullname} (edited)` }), updatedAt };
      data.putLead(edited);
      const copiedAt = iso(editedAt + 3);
      const copy = { ...edited, createdAt: copiedAt, updatedAt: copiedAt };
      for (const request of requests) {
        if ((request.updatedAt ?? '') > copiedAt) continue;
        data.putRequest({ ...request, snapshot: { ...(request.snapshot as object), lead: copy }, updatedAt: copiedAt });
      }
    } else data.putLead({ ...lead, status: draw < 0.19 ? 1000 : 50, updatedAt });
  }
}
