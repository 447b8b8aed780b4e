import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { parse } from 'yaml';
import { silentLogger } from '../../src/logger.ts';
import { createDatabase } from '../../src/store/database.ts';
import { grantReadonly } from '../../src/store/reports/readonly-role.ts';
import { findRoot } from '../helpers/recipes.ts';
import { type ReportingSetup, setupReporting } from './setup.ts';

/** The dashboard on the data: Grafana itself is not run, so what it would do with the model is done here, as far as it goes. */

interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}
interface Target {
  readonly format: 'table' | 'time_series';
  readonly rawSql: string;
  readonly datasource: unknown;
}
interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: Place;
  readonly datasource?: unknown;
  readonly targets?: readonly Target[];
}
interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly query: string }[];
  };
}

const FOLDER = join(findRoot(), 'deploy/monitoring/grafana');
const read = (path: string): string => readFileSync(join(FOLDER, path), 'utf8');
const dashboard = JSON.parse(read('dashboards/data.json')) as Dashboard;
const shown = dashboard.panels.filter(({ type }) => type !== 'row');
const TYPE = 'grafana-postgresql-datasource';

describe('the dashboard on the data', () => {
  it('has panels with a question each, which lie beside each other', () => {
    expect(shown.length).toBeGreaterThan(20);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const { title, gridPos, targets, datasource } of shown) {
      const own = { type: TYPE, uid: `\${datasource}` };
      expect({ title, datasource, of: targets?.map((one) => one.datasource) }).toEqual({
        title,
        datasource: own,
        of: [own],
      });
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
  });

  it('names only variables that it defines, and another dashboard than that of the program', () => {
    const defined = dashboard.templating.list.map(({ name }) => name);
    const named = [...JSON.stringify(dashboard).matchAll(/\$\{(\w+)/g)].map(([, name]) => name);
    expect(new Set(named)).toEqual(new Set(defined));
    expect(dashboard.uid).not.toBe(JSON.parse(read('dashboards/leadmirror.json')).uid);
  });

  it('finds a data source of its kind, with a password that is in no file', () => {
    const { datasources } = parse(read('provisioning/datasources/postgres.yml'));
    expect(datasources).toEqual([expect.objectContaining({ type: TYPE, url: 'postgres:5432', user: 'grafana' })]);
    expect(datasources[0].secureJsonData).toEqual({ password: '$GRAFANA_DB_PASSWORD' });
    expect(dashboard.templating.list.find(({ type }) => type === 'datasource')?.query).toBe(TYPE);
  });
});

describe('on a mirror of both products, as a role that only reads', () => {
  const role = `grafana_${randomBytes(4).toString('hex')}`;
  let setup: ReportingSetup;
  let reader: pg.Client;
  beforeAll(async () => {
    setup = await setupReporting({ leads: 60, requests: 200 });
    await setup.sync('backfill');
    await setup.refresh();
    await setup.client.query(`create role ${role} login password 'made-up'`);
    const database = createDatabase({ url: setup.url, logger: silentLogger() });
    expect((await grantReadonly(database.prisma, role)).outcome).toBe('granted');
    await database.close();
    const url = new URL(setup.url);
    [url.username, url.password] = [role, 'made-up'];
    reader = new pg.Client({ connectionString: url.href });
    await reader.connect();
  }, 120_000);
  afterAll(async () => {
    await reader?.end();
    await setup?.client.query(`drop owned by ${role}; drop role ${role}`);
    await setup?.close();
  });

  const [from, to] = ["'2025-10-01T00:00:00Z'", "'2026-04-20T10:00:00Z'"];
  /** As Grafana's macros and its format `sqlstring` do. */
  const filled = (sql: string, connections: readonly string[]): string =>
    sql
      .replaceAll(/\$__timeFilter\(([\w.]+)\)/g, (_, column) => `${column} BETWEEN ${from} AND ${to}`)
      .replaceAll('$__timeFrom()', from ?? '')
      .replaceAll('$__timeTo()', to ?? '')
      .replaceAll(`\${connection:sqlstring}`, connections.map((one) => `'${one}'`).join(','));
  const connectionsOf = async () => {
    const query = dashboard.templating.list.find(({ name }) => name === 'connection')?.query ?? '';
    return (await reader.query<{ connection_id: string }>(query)).rows.map(({ connection_id }) => connection_id);
  };

  it.each(shown.map((panel) => [panel.title, panel] as const))(
    '%s shows something',
    async (_, { type, targets = [] }) => {
      const connections = await connectionsOf();
      expect(connections).toHaveLength(2);
      for (const { rawSql, format } of targets) {
        const sql = filled(rawSql, connections);
        expect(sql).not.toMatch(/\$/);
        const { rows, fields } = await reader.query(sql);
        expect(rows.length).toBeGreaterThan(0);
        if (type === 'stat')
          expect(rows).toEqual([expect.objectContaining({ [fields[0]?.name ?? '']: expect.anything() })]);
        const times = fields.filter(({ name, dataTypeID }) => name === 'time' && [1114, 1184].includes(dataTypeID));
        expect(times).toHaveLength(format === 'time_series' ? 1 : 0);
      }
    },
  );

  it('answers the three questions of docs/bi.md', async () => {
    const page = readFileSync(join(findRoot(), 'docs/bi.md'), 'utf8');
    const questions = [...page.matchAll(/^```sql\n([\s\S]+?);\n```$/gm)].map(([, sql]) => sql ?? '');
    expect(questions).toHaveLength(3);
    for (const sql of questions) expect((await reader.query(sql)).rows.length).toBeGreaterThan(2);
  });

  it('shows one connection alone', async () => {
    const [open] = shown.filter(({ title }) => title === 'Open');
    const ask = async (connections: readonly string[]) =>
      Number((await reader.query(filled(open?.targets?.[0]?.rawSql ?? '', connections))).rows[0].open);
    const [tiledesk = '', tilkee = ''] = await connectionsOf();
    expect(await ask([tiledesk])).toBeGreaterThan(0);
    expect(await ask([tilkee])).toBe(0);
  });
});
