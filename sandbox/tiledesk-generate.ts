/** Writes months of history into an empty project: who wrote when, which leads were edited or removed. */

import { groupBy } from './collection.ts';
import { Random, tied } from './random.ts';
import type { TiledeskData } from './tiledesk-data.ts';
import { iso, type Lead } from './tiledesk-documents.ts';
import { createLead, createRequest, type HistoryTools } from './tiledesk-history.ts';

interface HistoryPlan {
  readonly seed: number;
  readonly leads: number;
  readonly requests: number;
  readonly from: number;
  readonly to: number;
}

const hour = 3600_000;

export function writeHistory(data: TiledeskData, tools: HistoryTools, plan: HistoryPlan): void {
  const random = new Random(plan.seed ^ 0x4157);
  const leadTimes = tied(random.moments(plan.leads, plan.from, plan.to - 2 * hour), isTied);
  const leads = leadTimes.map((at, index) => {
    if (index % 500 === 499) tools.ids.restart();
    const lead = createLead(tools, at);
    data.collections.leads.put(lead);
    return lead;
  });
  writeRequests(data, tools, { ...plan, random, leads });
  editSomeLeads(data, { ...plan, random, leads });
}

const isTied = (index: number): boolean => index % 211 === 5;

interface Story extends Omit<HistoryPlan, 'leads'> {
  readonly random: Random;
  readonly leads: readonly Lead[];
}

/** One request in twenty is of one customer: an edit of that lead makes a tie larger than a page. */
const regularShare = 0.05;
const regularMinimum = 130;

function writeRequests(data: TiledeskData, tools: HistoryTools, { random, leads, ...plan }: Story): void {
  const times = tied(random.moments(plan.requests, plan.from, plan.to), isTied);
  const regularProbability = Math.min(0.6, Math.max(regularShare, regularMinimum / Math.max(1, plan.requests)));
  let known = 0;
  for (const [index, at] of times.entries()) {
    if (index % 700 === 699) tools.ids.restart();
    while (known < leads.length && Date.parse(leads[known]?.createdAt ?? '') <= at) known++;
    const chosen = random.chance(regularProbability) ? leads[0] : leads[random.int(0, Math.max(0, known - 1))];
    const lead = random.chance(0.98) ? chosen : undefined;
    // A teammate trying the widget is a requester with an account; the others are guests.
    const member = data.team.projectUsers[random.int(0, 5)];
    const isMember = random.chance(lead ? 0.02 : 0.5);
    const requester = isMember ? member : lead && data.guestOf(lead);
    const isOldForm = index < times.length * 0.08;
    const ticketId = isOldForm ? 0 : data.nextTicket();
    const request = createRequest(tools, { at, until: plan.to, ticketId, lead, requester, isOldForm });
    // The lead of a few was hard-deleted later: the id stays and leads nowhere.
    data.collections.requests.put(lead && random.chance(0.005) ? { ...request, lead: tools.ids.next(at) } : request);
  }
}

function editSomeLeads(data: TiledeskData, { random, leads, to }: Story): void {
  const requestsByLead = groupBy(data.requests, ({ lead = '' }) => [lead]);
  for (const [index, lead] of leads.entries()) {
    const isRegular = index === 0;
    const draw = random.next();
    if (!isRegular && draw > 0.24) continue;
    const requests = requestsByLead.get(lead._id) ?? [];
    const earliest = [lead, ...requests].reduce((last, one) => Math.max(last, Date.parse(one.updatedAt ?? '')), 0);
    const editedAt = isRegular ? to - hour : Math.floor(earliest + random.next() * (to - earliest));
    const updatedAt = iso(editedAt);
    if (!isRegular && draw >= 0.12) {
      data.collections.leads.put({ ...lead, status: draw < 0.19 ? 1000 : 50, updatedAt });
      continue;
    }
    const edited = { ...lead, ...(lead.fullname && { fullname: `${lead.fullname} (edited)` }), updatedAt };
    data.collections.leads.put(edited);
    const copiedAt = iso(editedAt + 3);
    const copy = { ...edited, createdAt: copiedAt, updatedAt: copiedAt };
    for (const request of requests) {
      if ((request.updatedAt ?? '') > copiedAt) continue;
      data.collections.requests.put({
        ...request,
        snapshot: { ...(request.snapshot as object), lead: copy },
        updatedAt: copiedAt,
      });
    }
  }
}
