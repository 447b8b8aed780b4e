import type { PlanContext, Stream } from '../../stream.ts';
import { asMs, isObject } from '../coerce.ts';
import { isProjectThere } from './by-parent.ts';
import {
  asAllColleagues,
  createReader,
  type ListAddress,
  manyValues,
  type NamedAddress,
  noteOnReading,
  type Reader,
  sinceV3,
  V3_OVERLAP_MS,
} from './lists.ts';
import { redacted, type TilkeeStreamParts } from './parts.ts';
import { projectsOf } from './rows.ts';

const ORDER_BY_UPDATE = '-projects.updated_at';

/**
 * Projects. V3 by default: windows find new ones, full syncs find changes, which nothing filters on. V2 by setting: the
 * front of the list. Templates, archived and colleagues' projects may be missing from it: separate lists.
 */
export function createProjectsStream(parts: TilkeeStreamParts): Stream {
  const { settings } = parts;
  const api = settings.projectsApi;

  function addresses(): readonly NamedAddress[] {
    const wants = (extra: (typeof settings.extras)[number]) => settings.extras.includes(extra);
    if (api === 'v3') {
      // The owner comes only when asked for, and so do tags and counters.
      const parameters = manyValues(parts, 'expand', ['owner', 'tags', 'data']);
      const address: ListAddress = { api, path: '/projects/', parameters, since: sinceV3 };
      const templates: ListAddress = { ...address, parameters: [...parameters, ['is_template', 'true']] };
      return [{ id: 'all', address }, ...(wants('templates') ? [{ id: 'templates', address: templates }] : [])];
    }
    const address: ListAddress = { api, path: '/projects' };
    const only = (id: string, ...parameters: [string, string]) =>
      asAllColleagues(parts, id, { ...address, parameters: [parameters] });
    return [
      ...asAllColleagues(parts, 'all', address),
      ...(wants('templates') ? only('templates', 'is_template', 'true') : []),
      ...(wants('archived_projects') ? only('archived', 'status', 'archived') : []),
      ...(wants('colleagues_projects') ? only('colleagues', 'is_owner', 'false') : []),
    ];
  }

  /** A project is archived long after it was made, so not at the front of that list: see the links. */
  const isRead = (context: PlanContext) => (one: NamedAddress) =>
    context.pass !== 'incremental' || !one.id.startsWith('archived');

  return {
    ...redacted(projectsOf(api), parts),
    async planLists(context) {
      noteOnReading(context);
      const reader = createReader(parts, context);
      const all = addresses();
      const [plain] = all;
      if (plain === undefined) return [];
      if (api === 'v3') {
        const overlapMs = (await reader.hasWindows(plain.address)) === true ? V3_OVERLAP_MS : undefined;
        return all.map((one) => reader.list({ ...one, overlapMs }));
      }
      const wantsSorted = settings.orderByUpdate && context.pass === 'incremental';
      const sorted = wantsSorted ? await sortedByUpdate(reader, plain, context) : null;
      return all.filter(isRead(context)).map((one) => (sorted !== null && one === plain ? sorted : reader.list(one)));
    },
    deletions: {
      exists: ({ id }, options) => isProjectThere(parts, id, options),
    },
  };

  /** The list with the latest changes at its front, where the server returns that order and keeps it. */
  async function sortedByUpdate(reader: Reader, plain: NamedAddress, context: PlanContext) {
    const address: ListAddress = { ...plain.address, parameters: [['order', ORDER_BY_UPDATE]] };
    const obeys = await reader.probeOnce('ordersByUpdate', async () => {
      const query = new URLSearchParams({ offset: '0', limit: '10', order: ORDER_BY_UPDATE });
      const { body } = await parts.api.get(api, address.path, query, context.fetch);
      const rows = isObject(body) && Array.isArray(body.contents) ? body.contents : [];
      const times = rows.map((row) => (isObject(row) ? asMs(row.updated_at) : null));
      if (times.length < 2) return null;
      const isSorted = times.every((at, i) => at !== null && (i === 0 || at <= (times[i - 1] ?? 0)));
      return isObject(body) && body.order === ORDER_BY_UPDATE && isSorted;
    });
    return obeys === true ? reader.list({ id: 'by_update', address, sortedBy: 'updatedAt' }) : null;
  }
}
