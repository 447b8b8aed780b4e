import { RateLimitedError, UpstreamRefusedError } from '../../errors.ts';
import type { Deletions, FetchOptions, List, PlanContext } from '../../stream.ts';
import { asText } from '../coerce.ts';
import { existsAt, isRefused, type ListAddress, type ListPlan, type Reader } from './lists.ts';
import type { TilkeeStreamParts } from './parts.ts';

/** How many projects an incremental pass looks into without a list of everything: the newest, one request each. */
export const RECENT_PROJECTS = 100;
const PARENT_WAIT_MS = 60_000;

/** Ids of the mirrored projects, for lists that exist once for each. */
export async function mirroredProjects({ settings }: TilkeeStreamParts, context: PlanContext) {
  if (!settings.streams.includes('projects')) {
    throw new UpstreamRefusedError(
      'parent_missing',
      'this account may only read this list project by project, and projects are not mirrored; add projects to TILKEE_STREAMS',
      { status: 403 },
    );
  }
  const limit = context.pass === 'incremental' ? RECENT_PROJECTS : undefined;
  const ids = await context.mirroredIds('tilkee.projects', limit);
  if (ids !== null) return ids;
  throw new RateLimitedError(
    'this account reads its list project by project, so it waits for the first full read of tilkee.projects',
    { waitMs: PARENT_WAIT_MS, code: 'parent_first' },
  );
}

/** The list of one project; empty when the project went away. Refused for one that is there, it is a refusal. */
export function projectList(parts: TilkeeStreamParts, reader: Reader, projectId: string, plan: ListPlan): List {
  const list = reader.list(plan);
  return {
    ...list,
    async fetchPage(query, options) {
      try {
        return await list.fetchPage(query, options);
      } catch (error) {
        if (!isRefused(error) || (await isProjectThere(parts, projectId, options)) !== false) throw error;
        return { records: [], entries: [], pageSize: null, total: 0, hasMore: false, serverTime: null };
      }
    },
  };
}

export const projectAddress = (projectId: string, kind: 'tokens' | 'connexions'): ListAddress => ({
  api: 'v2',
  path: `/projects/${encodeURIComponent(projectId)}/${kind}`,
  known: { project_id: projectId },
});

/** Of what is only asked for inside its project; null where the mirror does not know that. */
export const existsInProject =
  (parts: TilkeeStreamParts, kind: 'tokens' | 'connexions'): Deletions['exists'] =>
  async ({ id, project_id }, options) => {
    const project = asText(project_id);
    return project === null ? null : existsAt(parts, 'v2', `/projects/${project}/${kind}/${id}`, options);
  };

/** Asks the API that the projects are read from whether one exists. */
export function isProjectThere(parts: TilkeeStreamParts, id: string, options: FetchOptions): Promise<boolean | null> {
  const { projectsApi: api } = parts.settings;
  return existsAt(parts, api, api === 'v3' ? `/projects/${id}/` : `/projects/${id}`, options);
}
