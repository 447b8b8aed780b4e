import type { Privacy } from '../../stream.ts';
import type { TiledeskApi } from './api.ts';

/** What every Tiledesk stream is made from. */
export interface TiledeskStreamParts {
  readonly api: TiledeskApi;
  /** Rows a page, 10 to 100: above 100 the requests list falls back to 40 (seen in server 2.19). */
  readonly pageSize: number;
  readonly fullWalkKey: 'id' | 'created_at';
  readonly privacy: Privacy;
}
