/** One believable change to a project in use; the mix is by weight, the choice by the generator that is passed in. */
import type { Random } from './random.ts';
import * as texts from './texts.ts';
import type { TiledeskData } from './tiledesk-data.ts';
import type { Request } from './tiledesk-documents.ts';

type Change = (data: TiledeskData, random: Random) => unknown;
type Weighted = readonly (readonly [weight: number, change: Change])[];

const on =
  <D>(docsOf: (data: TiledeskData) => ReadonlyMap<string, D>) =>
  (act: (data: TiledeskData, doc: D, random: Random) => unknown): Change =>
  (data, random) => {
    const doc = random.pickRecent(docsOf(data).values());
    return doc && act(data, doc, random);
  };

const onRequest = on(({ requests }) => requests);
const onLead = on(({ leads }) => leads);

function insertRequest(data: TiledeskData, random: Random): void {
  const lead = random.chance(0.5) ? data.insertLead() : random.pickRecent(data.leads.values());
  data.insertRequest(lead && { lead: lead._id });
}

function assign(data: TiledeskData, request: Request, random: Random): void {
  const agentId = random.pick(data.team.agentIds);
  const bots = request.participants.filter((id) => id.startsWith('bot_'));
  const participation = { participants: [agentId, ...bots], participantsAgents: [agentId], preflight: false };
  data.touchRequest(request._id, { status: Math.max(request.status, 200), ...participation });
}

const rate = onRequest((data, { _id }, random) =>
  data.touchRequest(_id, { rating: random.int(1, 5), rating_message: random.pick(texts.ratingMessages) }),
);

const editLead = onLead((data, { _id }, random) =>
  data.editLead(_id, { company: random.pick(texts.companies), note: `call ${random.int(1, 99)}` }),
);

const usual: Weighted = [
  [22, insertRequest],
  [20, onRequest(assign)],
  [18, onRequest((data, { _id }) => data.closeRequest(_id))],
  [8, rate],
  [20, onRequest((data, { _id }, random) => data.writeMessage(_id, random.pick(texts.replies)))],
  [3, onRequest((data, { _id, status }) => status === 1000 && data.reopenRequest(_id))],
  [6, editLead],
  [2, onLead((data, { _id }) => data.setLeadStatus(_id, 1000))],
  [1, onLead((data, { _id }) => data.setLeadStatus(_id, 100))],
];

const hardDeletes: Weighted = [
  [3, onRequest((data, { _id }) => data.hardDeleteRequest(_id))],
  [1, onLead((data, { _id }) => data.hardDeleteLead(_id))],
];

export function makeRandomChange(data: TiledeskData, random: Random, options: { hardDeletes?: boolean }): void {
  random.weighted(options.hardDeletes ? [...usual, ...hardDeletes] : usual)(data, random);
}
