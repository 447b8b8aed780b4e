/** What a link and a project tell about their visits. Computed from the visits when asked, so the sums always agree. */
import type { TilkeeToken, TilkeeVisit } from './tilkee-documents.ts';

export interface VisitStats {
  readonly visits: number;
  readonly totalTime: number;
  readonly firstAt: number | null;
  readonly lastAt: number | null;
  readonly percentageRead: number;
  readonly downloaded: boolean;
  readonly signed: boolean;
  readonly interest: number;
  readonly mostVisitedItemId: number | null;
  readonly mostVisitedTime: number;
  readonly platforms: number;
  readonly phones: number;
  readonly computers: number;
}

export interface ProjectStats extends VisitStats {
  readonly links: number;
  readonly linksByProspect: number;
  readonly readLinks: number;
  readonly lastLinkAt: number | null;
}

export interface StatsSource {
  visitsOf(tokenId: number): readonly TilkeeVisit[];
  tokensOf(projectId: number): readonly TilkeeToken[];
}

export function sumVisits(visits: readonly TilkeeVisit[]): VisitStats {
  const longest = visits.reduce<TilkeeVisit | undefined>(
    (most, visit) => (most && most.total_time >= visit.total_time ? most : visit),
    undefined,
  );
  const times = visits.map((visit) => visit.access_date);
  const percentageRead = visits.reduce((most, visit) => Math.max(most, visit.percentage_read), 0);
  const ofDevice = (type: string): number => visits.filter((visit) => visit.device_type === type).length;
  return {
    visits: visits.length,
    totalTime: visits.reduce((sum, visit) => sum + visit.total_time, 0),
    firstAt: times.length > 0 ? times.reduce((a, b) => Math.min(a, b)) : null,
    lastAt: times.length > 0 ? times.reduce((a, b) => Math.max(a, b)) : null,
    percentageRead,
    downloaded: visits.some((visit) => visit.downloaded),
    signed: visits.some((visit) => visit.signed),
    interest: visits.length === 0 ? 0 : Math.min(5, Math.round(percentageRead / 4 + visits.length) / 10),
    mostVisitedItemId: longest?.most_visited_item_id ?? null,
    mostVisitedTime: longest?.total_time ?? 0,
    platforms: new Set(visits.map((visit) => visit.platform_id)).size,
    phones: ofDevice('phone'),
    computers: ofDevice('desktop'),
  };
}

/** Kept until a visit or a link under them changes. */
export class StatsCache {
  readonly #source: StatsSource;
  readonly #ofToken = new Map<number, VisitStats>();
  readonly #ofProject = new Map<number, ProjectStats>();

  constructor(source: StatsSource) {
    this.#source = source;
  }

  forget(projectId: number | undefined, tokenId: number): void {
    this.#ofToken.delete(tokenId);
    if (projectId !== undefined) this.#ofProject.delete(projectId);
  }

  ofToken(id: number): VisitStats {
    const known = this.#ofToken.get(id);
    if (known) return known;
    const stats = sumVisits(this.#source.visitsOf(id));
    this.#ofToken.set(id, stats);
    return stats;
  }

  ofProject(id: number): ProjectStats {
    const known = this.#ofProject.get(id);
    if (known) return known;
    const tokens = this.#source.tokensOf(id);
    const stats: ProjectStats = {
      ...sumVisits(tokens.flatMap((token) => this.#source.visitsOf(token.id))),
      links: tokens.length,
      linksByProspect: tokens.filter((token) => token.generated_by_prospect).length,
      readLinks: tokens.filter((token) => this.ofToken(token.id).visits > 0).length,
      lastLinkAt: tokens.reduce<number | null>((last, token) => Math.max(last ?? 0, token.created_at), null),
    };
    this.#ofProject.set(id, stats);
    return stats;
  }
}
