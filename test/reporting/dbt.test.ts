import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { findRoot } from '../helpers/recipes.ts';
import { type ReportingSetup, setupReporting } from './setup.ts';

/** The project in deploy/dbt without dbt: `source()` and `ref()` are replaced, models become plain views, and its tests are asked in SQL. */

const FOLDER = join(findRoot(), 'deploy/dbt');
const read = (path: string): string => readFileSync(join(FOLDER, path), 'utf8');
const sqlFiles = (folder: string): string[] =>
  readdirSync(join(FOLDER, folder))
    .filter((name) => name.endsWith('.sql'))
    .map((name) => `${folder}/${name}`);
const nameOf = (path: string): string => basename(path, '.sql');

interface Sources {
  readonly sources: readonly {
    readonly name: string;
    readonly schema: string;
    readonly tables: readonly { readonly name: string }[];
  }[];
}
type Rule =
  | string
  | Readonly<
      Record<
        string,
        { readonly arguments: { readonly values?: readonly string[]; readonly to?: string; readonly field?: string } }
      >
    >;
interface Models {
  readonly models: readonly {
    readonly name: string;
    readonly columns: readonly { readonly name: string; readonly data_tests: readonly Rule[] }[];
  }[];
}

const { sources } = parse(read('models/sources.yml')) as Sources;
const { models } = parse(read('models/models.yml')) as Models;
const paths = [...sqlFiles('models/staging'), ...sqlFiles('models/marts')];

/** @throws Error for what is not declared, as dbt does */
function compile(sql: string): string {
  return sql
    .replaceAll(/\{\{ source\('(\w+)', '(\w+)'\) \}\}/g, (_, source, table) => {
      const declared = sources.find(({ name, tables }) => name === source && tables.some((one) => one.name === table));
      if (declared === undefined) throw new Error(`${source}.${table} is no source`);
      return `${declared.schema}.${table}`;
    })
    .replaceAll(/\{\{ ref\('(\w+)'\) \}\}/g, (_, name) => {
      if (!paths.some((path) => nameOf(path) === name)) throw new Error(`${name} is no model`);
      return `dbt.${name}`;
    });
}

/** The rows that break a rule, as dbt's own tests ask for them. */
function failuresOf(model: string, column: string, rule: Rule): string {
  if (rule === 'not_null') return `select from dbt.${model} where ${column} is null`;
  if (rule === 'unique')
    return `select ${column} from dbt.${model} where ${column} is not null group by 1 having count(*) > 1`;
  const [[kind, { arguments: given }] = ['', { arguments: {} }]] = Object.entries(rule);
  if (kind === 'accepted_values') {
    return `select from dbt.${model} where ${column} not in (${(given.values ?? []).map((value: string) => `'${value}'`).join(', ')})`;
  }
  const [, target] = /^ref\('(\w+)'\)$/.exec(given.to ?? '') ?? [];
  if (kind !== 'relationships' || target === undefined) throw new Error(`the test knows no rule ${kind}`);
  return `select from dbt.${model} c left join dbt.${target} p on p.${given.field} = c.${column} where c.${column} is not null and p.${given.field} is null`;
}

describe('deploy/dbt', () => {
  let setup: ReportingSetup;
  beforeAll(async () => {
    setup = await setupReporting({ leads: 60, requests: 200 });
    await setup.sync('backfill');
    await setup.refresh();
    await setup.client.query('create schema dbt');
    for (const path of paths) await setup.client.query(`create view dbt.${nameOf(path)} as ${compile(read(path))}`);
  }, 120_000);
  afterAll(() => setup?.close());

  const count = async (sql: string) =>
    Number((await setup.client.query(`select count(*) as n from (${sql}) q`)).rows[0].n);

  it('describes every model, and each has rows', async () => {
    expect(models.map(({ name }) => name).sort()).toEqual(paths.map(nameOf).sort());
    for (const { name } of models)
      expect({ name, rows: await count(`select from dbt.${name}`) }).not.toMatchObject({ rows: 0 });
  });

  const rules = models.flatMap(({ name, columns }) =>
    columns.flatMap((column) =>
      column.data_tests.map((rule) => [`${name}.${column.name}`, JSON.stringify(rule), rule] as const),
    ),
  );
  it.each(rules)('%s: %s', async (path, _, rule) => {
    const [model = '', column = ''] = path.split('.');
    expect(await count(failuresOf(model, column, rule))).toBe(0);
  });

  it.each(sqlFiles('tests'))('%s holds', async (path) => {
    expect(await count(compile(read(path)))).toBe(0);
  });

  it('refuses what is not declared', () => {
    expect(() => compile("select from {{ ref('other') }}")).toThrow('other is no model');
    expect(() => compile("select from {{ source('tiledesk', 'other') }}")).toThrow('tiledesk.other is no source');
  });
});
