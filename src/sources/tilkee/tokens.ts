import type { List, PlanContext, Stream } from '../../stream.ts';
import { existsInProject, mirroredProjects, projectAddress, projectList, RECENT_PROJECTS } from './by-parent.ts';
import { asAllColleagues, createReader, type ListAddress, noteOnReading, type Reader } from './lists.ts';
import { redacted, type TilkeeStreamParts } from './parts.ts';
import { TOKENS } from './rows.ts';

const BULK: ListAddress = { api: 'v2', path: '/tokens' };
const ARCHIVED = [['archived_tokens', 'true']] as const;

/**
 * The links, V2 only, without any time of change: the incremental pass reads the front of the list, full syncs the
 * rest. Archived links may be missing from it: a second list. Where the list is refused, each project is asked.
 */
export function createTokensStream(parts: TilkeeStreamParts): Stream {
  const { settings } = parts;

  /** A link is archived long after it was made, so not at the front of that list: the full sync finds it. */
  const wantsArchived = (context: PlanContext) =>
    settings.extras.includes('archived_tokens') && context.pass !== 'incremental';

  function bulkLists(reader: Reader, context: PlanContext): readonly List[] {
    const archived = asAllColleagues(parts, 'archived', { ...BULK, parameters: ARCHIVED });
    const all = [...asAllColleagues(parts, 'all', BULK), ...(wantsArchived(context) ? archived : [])];
    return all.map((one) => reader.list(one));
  }

  async function listsByProject(reader: Reader, context: PlanContext): Promise<readonly List[]> {
    const projects = await mirroredProjects(parts, context);
    return projects.flatMap((id) => {
      const address = projectAddress(id, 'tokens');
      const listAt = (name: string, at: ListAddress) => projectList(parts, reader, id, { id: name, address: at });
      const archived = listAt(`project.${id}.archived`, { ...address, parameters: ARCHIVED });
      return [listAt(`project.${id}`, address), ...(wantsArchived(context) ? [archived] : [])];
    });
  }

  return {
    ...redacted(TOKENS, parts),
    async planLists(context) {
      const reader = createReader(parts, context);
      const hasBulk = await reader.probeOnce('allInOneList', () => reader.isOpen(BULK));
      noteOnReading(context, hasBulk ? null : NOTICE);
      return hasBulk ? bulkLists(reader, context) : listsByProject(reader, context);
    },
    deletions: { exists: existsInProject(parts, 'tokens') },
  };
}

const NOTICE = `the list of all links is refused to this account, so they are read project by project: the full sync reads every project, the incremental pass the ${RECENT_PROJECTS} newest`;
