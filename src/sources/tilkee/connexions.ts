import type { List, PlanContext, Stream } from '../../stream.ts';
import { existsInProject, mirroredProjects, projectAddress, projectList, RECENT_PROJECTS } from './by-parent.ts';
import { asAllColleagues, createReader, type ListAddress, noteOnReading, type Reader } from './lists.ts';
import { redacted, type TilkeeStreamParts } from './parts.ts';
import { CONNEXIONS } from './rows.ts';

/** A visit's counters grow until it ends. */
const OVERLAP_MS = 2 * 86_400_000;

/**
 * The visits, V2 only, the one list that knows a window of time. Where visits name no link or project, the full sync
 * also asks project by project (or link by link) and takes them from the question.
 */
export function createConnexionsStream(parts: TilkeeStreamParts): Stream {
  const { settings } = parts;
  /** Whole seconds or milliseconds: the documentation has "timestamp", of 32 bits. */
  const since = (ms: number) => ['start_date', String(settings.timeUnit === 's' ? Math.floor(ms / 1000) : ms)] as const;
  const bulk: ListAddress = { api: 'v2', path: '/connexions', since };

  /** Whether visits name their link or project themselves. Null: there are none yet. */
  async function namesParents(reader: Reader): Promise<boolean | null> {
    const { records } = await reader.fetch(bulk, { offset: 0, limit: 5 });
    if (records.length === 0) return null;
    return records.some((record) => {
      try {
        const { token_id, project_id } = CONNEXIONS.mapRecord(record);
        return token_id !== null || project_id !== null;
      } catch {
        return false;
      }
    });
  }

  async function listsByProject(reader: Reader, context: PlanContext): Promise<readonly List[]> {
    const projects = await mirroredProjects(parts, context);
    return projects.map((id) => visitsOf(reader, id));
  }

  const visitsOf = (reader: Reader, id: string) =>
    projectList(parts, reader, id, { id: `project.${id}`, address: projectAddress(id, 'connexions') });

  /** A server that ignores `tokens` would give every visit to every link: no visit belongs to link 0. */
  async function probeTokenFilter(reader: Reader): Promise<boolean> {
    const address: ListAddress = { ...bulk, parameters: [['tokens', '0']] };
    return (await reader.fetch(address, { offset: 0, limit: 2 })).entries.length === 0;
  }

  /** Lists that add nothing but the parents of visits: left out as long as those are not mirrored. */
  async function attributingLists(reader: Reader, context: PlanContext): Promise<readonly List[] | null> {
    const isByToken = settings.visitsBy === 'token';
    if (isByToken && !(await reader.probeOnce('filtersByToken', () => probeTokenFilter(reader)))) return null;
    const ids = await context.mirroredIds(isByToken ? 'tilkee.tokens' : 'tilkee.projects');
    if (ids === null) return null;
    return ids.map((id) => {
      if (!isByToken) return visitsOf(reader, id);
      const address: ListAddress = { ...bulk, parameters: [['tokens', id]], known: { token_id: id } };
      return reader.list({ id: `token.${id}`, address });
    });
  }

  async function asksForParents(reader: Reader): Promise<boolean> {
    if (settings.visitsBy !== 'auto') return settings.visitsBy !== 'list';
    return (await reader.probeOnce('visitsNameParents', () => namesParents(reader))) === false;
  }

  return {
    ...redacted(CONNEXIONS, parts),
    async planLists(context) {
      const reader = createReader(parts, context);
      const hasBulk = await reader.probeOnce('allInOneList', () => reader.isOpen(bulk));
      if (!hasBulk) {
        noteOnReading(context, BY_PROJECT);
        return listsByProject(reader, context);
      }
      const hasWindows = await reader.hasWindows(bulk, `createdWindows.${settings.timeUnit}`);
      const overlapMs = hasWindows === true ? OVERLAP_MS : undefined;
      const lists = asAllColleagues(parts, 'all', bulk).map((one) => reader.list({ ...one, overlapMs }));
      const needsParents = await asksForParents(reader);
      const more = needsParents && context.pass !== 'incremental' ? await attributingLists(reader, context) : [];
      const parents = more === null ? NO_PARENTS : needsParents ? PARENTS_LATER : null;
      noteOnReading(context, hasWindows === false ? NO_WINDOWS : null, parents);
      return [...lists, ...(more ?? [])];
    },
    deletions: { exists: existsInProject(parts, 'connexions') },
  };
}

const BY_PROJECT = `the list of all visits is refused to this account, so they are read project by project: the full sync reads every project, the incremental pass the ${RECENT_PROJECTS} newest`;
const NO_WINDOWS =
  'the list of visits does not answer to start_date as expected, so only its front is read between full syncs; check TILKEE_TIME_UNIT';
const NO_PARENTS =
  'visits name neither link nor project here, and no list contains them: projects or links are not mirrored yet, or the server does not filter visits by link';
const PARENTS_LATER =
  'visits name neither link nor project here: the full sync finds out by asking project by project (TILKEE_VISITS_BY), new visits stay without until then';
