import { counted } from '../counted.ts';
import { policyOf } from './privacy.ts';
import { type StreamSchedule, scheduleOf } from './schedules.ts';
import type { Config, ConnectionConfig, TiledeskConnectionConfig, TilkeeConnectionConfig } from './types.ts';

type ConfigLine = Readonly<Record<'name' | 'value', string>>;

/** Returns the configuration as human-readable lines, without secrets and e-mail addresses. */
export function describeConfig(config: Config): readonly ConfigLine[] {
  const { sync, http, workers, ops, privacy, log } = config;
  const proxies = [http.proxy?.httpProxy, http.proxy?.httpsProxy].filter((url) => url !== undefined);
  const proxy = proxies.length === 0 ? '' : `, through ${[...new Set(proxies.map(hostOf))].join(' and ')}`;
  return [
    ...linesOf({
      database: describeDatabase(config),
      queue: config.redis === null ? 'in Postgres' : `Redis at ${config.redis.urls.map(hostOf).join(', ')}`,
    }),
    ...config.connections.flatMap((connection) => [
      { name: connection.id, value: `${describeConnection(connection)}${describeOwnPolicy(connection, config)}` },
      ...describeSchedules(connection, config),
    ]),
    ...linesOf({
      schedule: `changes ${sync.incrementalCron}, everything ${sync.reconcileCron}, counts ${sync.countCheckCron} (${sync.timezone}), a full sync after ${counted(sync.fullSyncDays, 'day')}, lookback ${sync.lookbackSeconds} s, deletion guard ${sync.deletionLimit}`,
      requests: `time limit ${http.timeoutMs / 1000} s, ${counted(http.retryAttempts, 'try', 'tries')}, waiting at most ${http.retryMaxMs / 1000} s${proxy}${http.allowInsecureHttp ? ', http:// allowed' : ''}`,
      workers: `${workers.concurrency} incremental, ${workers.bulkConcurrency} bulk, stop within ${workers.shutdownTimeoutMs / 1000} s`,
      'health and status': `http://${ops.host.includes(':') ? `[${ops.host}]` : ops.host}:${ops.port}, ${ops.token === null ? 'read-only' : 'actions with OPS_TOKEN'}`,
      privacy: `IP addresses and user agents of visitors ${storedOrNot(privacy.storeVisitorPii)}, public links and previews ${storedOrNot(privacy.storeLinks)}${describePolicy(privacy.policy)}`,
      retention: describeRetention(config),
      alerts: describeAlerts(config),
      traces: config.tracing === null ? 'none' : `to ${hostOf(config.tracing.endpoint)}, ${config.tracing.sampler}`,
      history: config.history.streams.length === 0 ? 'as switched on by command' : config.history.streams.join(', '),
      'runs kept': counted(config.runRetentionDays, 'day'),
      log: `${log.level}, ${log.format}`,
    }),
  ];
}

const linesOf = (values: Readonly<Record<string, string>>): ConfigLine[] =>
  Object.entries(values).map(([name, value]) => ({ name, value }));

function describeDatabase({ databaseUrl, home }: Config): string {
  if (databaseUrl === null) return `embedded Postgres under ${home}`;
  const url = new URL(databaseUrl);
  // A socket is given as ?host=/run/postgresql. The rest of the query may hold secrets.
  const host = url.host || url.searchParams.get('host') || 'the default host';
  return `Postgres at ${host}, database ${url.pathname.slice(1) || '(default)'}`;
}

function describeAlerts({ alerts: { webhook, email, afterMs } }: Config): string {
  const ways = [
    webhook === null ? [] : `webhook at ${hostOf(webhook.url)} (${webhook.format})`,
    email === null ? [] : `e-mail to ${email.to.length} through ${hostOf(email.smtpUrl)}`,
  ].flat();
  return ways.length === 0 ? 'none' : `${ways.join(', ')}, after ${afterMs / 1000} s`;
}

function describeRetention({ retention: { rules, upstreamDeletedDays } }: Config): string {
  const gone = upstreamDeletedDays === null ? [] : [`gone upstream ${counted(upstreamDeletedDays, 'day')}`];
  const all = [...rules.map((rule) => `${rule.stream} ${rule.since} ${rule.after} ${rule.do}`), ...gone];
  return all.length === 0 ? 'rows stay for ever' : all.join(', ');
}

function describePolicy({ presets, fields }: Config['privacy']['policy']): string {
  const chosen = presets.length === 0 ? '' : `, presets ${presets.join(' ')}`;
  return fields.length === 0 ? chosen : `${chosen}, ${counted(fields.length, 'field')} by name`;
}

const describeOwnPolicy = ({ id, privacy }: ConnectionConfig, config: Config): string =>
  privacy === undefined
    ? ''
    : `, of its own:${describePolicy(policyOf(config, id)).replace(/^,/, '') || ' no presets'}`;

const storedOrNot = (isStored: boolean): string => (isStored ? 'stored' : 'left out');

const describeConnection = (connection: ConnectionConfig): string =>
  connection.source === 'tiledesk' ? describeTiledesk(connection) : describeTilkee(connection);

/** A line for a connection with a schedule of its own: of its streams together, then of those that differ. */
function describeSchedules(connection: ConnectionConfig, { sync }: Config): ConfigLine[] {
  const { schedule, streamSchedules = {} } = connection;
  const all = scheduleOf(sync, { ...(schedule && { schedule }) }, '');
  const parts = connection.schedule === undefined ? [] : [describeSchedule(all)];
  for (const stream of Object.keys(streamSchedules)) {
    const own = scheduleOf(sync, connection, stream);
    if (describeSchedule(own) !== describeSchedule(all)) parts.push(`${stream}: ${describeSchedule(own)}`);
  }
  return parts.length === 0 ? [] : [{ name: `${connection.id} schedule`, value: parts.join('; ') }];
}

const describeSchedule = ({ incremental, reconcile, count, timezone, isAdaptive }: StreamSchedule): string =>
  `changes ${isAdaptive ? 'auto' : (incremental ?? 'off')}, everything ${reconcile ?? 'off'}, counts ${count ?? 'off'} (${timezone})`;

function describeTiledesk(connection: TiledeskConnectionConfig): string {
  const { baseUrl, auth, streams, pageSize, maxPageSize, fullSyncKey, allowCustomRole } = connection;
  const account = auth.kind === 'token' ? 'token' : `e-mail and password (${auth.kind})`;
  const pace = `${describeLimits(connection)}, pages of ${pageSize}, of leads up to ${Math.max(pageSize, maxPageSize)}, full syncs by ${fullSyncKey}`;
  return `${baseUrl}, ${account}, ${streams.join(' ')}, ${pace}${allowCustomRole ? ', any role accepted' : ''}`;
}

function describeLimits({ requestsPerMinute, requestsPerDay }: ConnectionConfig): string {
  return `${counted(requestsPerMinute, 'request')} a minute${requestsPerDay === undefined ? '' : ` and ${requestsPerDay} a day`}`;
}

function describeTilkee(connection: TilkeeConnectionConfig): string {
  const { auth, v3Url, v2Url, authUrl, streams, projectsApi, pageSize, extras, actAs } = connection;
  // A static key opens V2 only, and signs in nowhere.
  const urls = auth.kind === 'key' ? [v2Url] : [v3Url, v2Url, authUrl];
  const hosts = [...new Set(urls.map(hostOf))].join(' ');
  const pace = `${describeLimits(connection)}, pages of ${pageSize}`;
  const also = extras.length === 0 ? '' : `, also ${extras.join(' ')}`;
  const colleagues = actAs.length === 0 ? '' : `, also as ${counted(actAs.length, 'colleague')}`;
  return `${hosts}, ${describeSignIn(auth)}, ${streams.join(' ')}, projects by ${projectsApi}, ${pace}${also}${colleagues}`;
}

function describeSignIn(auth: TilkeeConnectionConfig['auth']): string {
  if (auth.kind === 'key') return 'static key';
  const ways = [auth.refreshToken === null ? [] : 'refresh token', auth.password === null ? [] : 'password'].flat();
  return ways.length === 0 ? 'code flow (leadmirror tilkee login)' : ways.join(' and ');
}

const hostOf = (url: string): string => new URL(url).host;
