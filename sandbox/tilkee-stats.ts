/** What a link and a project tell about their visits. Computed from the visits when asked, so the sums always agree. */
import type { TilkeeToken, TilkeeVisit } from './tilkee-create.ts';

const most = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), 0);

export function sumVisits(visits: readonly TilkeeVisit[]) {
  const times = visits.map((visit) => visit.access_date);
  const longestTime = most(visits.map((visit) => visit.total_time));
  const percentageRead = most(visits.map((visit) => visit.percentage_read));
  const ofDevice = (type: string): number => visits.filter((visit) => visit.device_type === type).length;
  return {
    visits: visits.length,
    total_time: visits.reduce((sum, visit) => sum + visit.total_time, 0),
    firstAt: times.length > 0 ? times.reduce((a, b) => Math.min(a, b)) : null,
    lastAt: times.length > 0 ? most(times) : null,
    percentage_read: percentageRead,
    downloaded: visits.some((visit) => visit.downloaded),
    signed: visits.some((visit) => visit.signed),
    interest: visits.length === 0 ? 0 : Math.min(5, Math.round(percentageRead / 4 + visits.length) / 10),
    most_visited_item_id: visits.find((visit) => visit.total_time === longestTime)?.most_visited_item_id ?? null,
    most_visited_time: longestTime,
    platforms: new Set(visits.map((visit) => visit.platform_id)).size,
    phones: ofDevice('phone'),
    computers: ofDevice('desktop'),
  };
}

export function sumTokens(tokens: readonly TilkeeToken[], visitsOf: (tokenId: number) => readonly TilkeeVisit[]) {
  const visits = tokens.map(({ id }) => visitsOf(id));
  return {
    ...sumVisits(visits.flat()),
    links: tokens.length,
    linksByProspect: tokens.filter((token) => token.generated_by_prospect).length,
    readLinks: visits.filter(({ length }) => length > 0).length,
    lastLinkAt: tokens.length > 0 ? most(tokens.map((token) => token.created_at)) : null,
  };
}
