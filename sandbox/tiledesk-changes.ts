/** One believable change to a project in use; the mix is by weight, the choice by the generator that is passed in. */
import type { Random } from './random.ts';
import type { TiledeskData } from './tiledesk-data.ts';
import type { Request } from './tiledesk-documents.ts';
import * as words from './words.ts';

type Change = (data: TiledeskData, random: Random) => void;

function pickId(
  collection: TiledeskData['leadCollection'] | TiledeskData['requestCollection'],
  random: Random,
): string | undefined {
  const entries = collection.sorted('_id', 1);
  if (entries.length === 0) return undefined;
  // Recent rows change more often than old ones.
  const share = random.chance(0.5) ? 1 - random.next() ** 2 * 0.1 : random.next();
  return entries[Math.min(entries.length - 1, Math.floor(share * entries.length))]?.doc._id;
}

function onRequest(act: (data: TiledeskData, request: Request, random: Random) => void): Change {
  return (data, random) => {
    const id = pickId(data.requestCollection, random);
    const request = id === undefined ? undefined : data.requests.get(id);
    if (request) act(data, request, random);
  };
}

function onLead(act: (data: TiledeskData, id: string, random: Random) => void): Change {
  return (data, random) => {
    const id = pickId(data.leadCollection, random);
    if (id !== undefined) act(data, id, random);
  };
}

const insertRequest: Change = (data, random) => {
  const lead = random.chance(0.5) ? data.insertLead()._id : pickId(data.leadCollection, random);
  data.insertRequest(lead === undefined ? {} : { lead });
};

const assign = onRequest((data, request, random) => {
  const agentId = random.pick(data.team.agentIds);
  const status = Math.max(request.status, 200);
  const bots = request.participants.filter((id) => id.startsWith('bot_'));
  data.touchRequest(request._id, {
    status,
    participants: [agentId, ...bots],
    participantsAgents: [agentId],
    preflight: false,
  });
});

const close = onRequest((data, request) => {
  data.closeRequest(request._id);
});

const rate = onRequest((data, request, random) => {
  data.touchRequest(request._id, { rating: random.int(1, 5), rating_message: random.pick(words.ratingMessages) });
});

const write = onRequest((data, request, random) => {
  data.writeMessage(request._id, random.pick(words.replies));
});

const reopen = onRequest((data, request) => {
  if (request.status === 1000) data.reopenRequest(request._id);
});

const editLead = onLead((data, id, random) => {
  data.editLead(id, { company: random.pick(words.companies), note: `call ${random.int(1, 99)}` });
});

const weighted: readonly (readonly [number, Change])[] = [
  [22, insertRequest],
  [20, assign],
  [18, close],
  [8, rate],
  [20, write],
  [3, reopen],
  [6, editLead],
  [2, onLead((data, id) => void data.softDeleteLead(id))],
  [1, onLead((data, id) => void data.setLeadStatus(id, 100))],
];

const hardDeletes: readonly (readonly [number, Change])[] = [
  [3, onRequest((data, request) => void data.hardDeleteRequest(request._id))],
  [1, onLead((data, id) => void data.hardDeleteLead(id))],
];

export function makeRandomChange(data: TiledeskData, random: Random, options: { hardDeletes?: boolean }): void {
  const choices = options.hardDeletes ? [...weighted, ...hardDeletes] : weighted;
  let draw = random.next() * choices.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, change] of choices) {
    draw -= weight;
    if (draw >= 0) continue;
    change(data, random);
    return;
  }
}
