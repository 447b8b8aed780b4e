import type pg from 'pg';

export interface ReportingVolume {
  readonly requests: number;
  readonly leads: number;
  readonly links: number;
  readonly visits: number;
}

/**
 * Rows as a mirror has them, two years of history, invented by arithmetic and written straight into the mirrored tables. They are stamped as an hour old:
 * a refresh reads the last minute again, and a mirror is not filled in a minute.
 */
export async function fillMirror(sql: pg.Client, { requests, leads, links, visits }: ReportingVolume): Promise<void> {
  const own = `'{}', '', 1`;
  const statements = [
    `insert into sync.streams (connection_id, stream) values ('tiledesk:bench', 'tiledesk.leads'), ('tiledesk:bench', 'tiledesk.requests'),
      ('tilkee:bench', 'tilkee.projects'), ('tilkee:bench', 'tilkee.tokens'), ('tilkee:bench', 'tilkee.connexions')`,
    `insert into sync.checkpoints (connection_id, stream, pass, started_at, completed_at) select connection_id, stream, 'backfill', now(), now() from sync.streams`,
    `insert into tiledesk.departments (connection_id, id, name, raw, content_hash, run_id)
      select 'tiledesk:bench', 'd' || g, 'Department ' || g, ${own} from generate_series(0, 7) g`,
    `insert into tiledesk.project_users (connection_id, id, id_user, firstname, lastname, raw, content_hash, run_id)
      select 'tiledesk:bench', 'p' || g, 'agent' || g, 'Agent', g::text, ${own} from generate_series(0, 29) g`,
    `insert into tiledesk.leads (connection_id, id, lead_id, fullname, email, phone, status, created_at, updated_at, raw, content_hash, run_id)
      select 'tiledesk:bench', 'lead' || g, 'visitor-' || g, 'Person ' || g,
        case when g % 10 < 6 then 'visitor.' || (g - case when g % 50 = 0 then 5 else 0 end) || '@example.com' end,
        case when g % 5 = 0 then '+39000' || (1000000 + g) end, case when g % 20 = 19 then 50 else 100 end, t, t,
        jsonb_build_object('filler', repeat('x', 500)), md5(g::text), 1
      from generate_series(0, ${leads - 1}) g, lateral (select now() - g * interval '2 years' / ${leads}) x(t)`,
    `insert into tiledesk.requests (connection_id, id, request_id, status, preflight, first_text, lead_id, department_id, participants,
        participants_agents, channel, rating, first_response_at, closed_at, closed_by, created_at, updated_at, raw, content_hash, run_id)
      select 'tiledesk:bench', 'request' || g, 'support-group-' || g, s, s = 50, 'A question', 'lead' || (g::bigint * 7919) % ${leads}, 'd' || g / 7 % 8,
        array['agent' || a], array['agent' || a], (array['chat21', 'chat21', 'chat21', 'email', 'form', 'whatsapp'])[1 + g % 6],
        case when s = 1000 and g % 4 = 0 then 1 + g / 4 % 5 end,
        case when s in (200, 1000) then t + (g::bigint * 7919 % 90000) * interval '1 ms' + interval '1 s' end,
        case when s = 1000 or g % 100 = 80 then t + (g::bigint * 104729 % 18000000) * interval '1 ms' + interval '2 minutes' end,
        case when s = 1000 then 'agent' || a end, t, t, jsonb_build_object('filler', repeat('x', 900)), md5(g::text), 1
      from generate_series(0, ${requests - 1}) g, lateral (select now() - g * interval '2 years' / ${requests}, g::bigint * 31 % 30,
        case when g % 100 < 78 then 1000 when g % 100 < 87 then 200 when g % 100 < 91 then 100 when g % 100 < 96 then 150 else 50 end) x(t, a, s)`,
    `insert into tilkee.projects (connection_id, id, name, verdict, created_at, raw, content_hash, run_id)
      select 'tilkee:bench', g::text, 'Offer ' || g, (array['won', 'lost', 'na', 'unset'])[1 + g % 4], now(), ${own} from generate_series(1, 5000) g`,
    `insert into tilkee.tokens (connection_id, id, name, project_id, external_id, won, consulted, signed, total_time, nb_connections,
        percentage_read, interest, created_at, raw, content_hash, run_id)
      select 'tilkee:bench', g::text, 'Person ' || g, (1 + g % 5000)::text,
        case when g % 2 = 0 then 'lead' || g when g % 5 = 0 then 'visitor.' || g || '@example.com' end, (array['won', 'lost', 'na', 'na', 'na'])[1 + g % 5],
        g % 3 <> 0, g % 17 = 0, g * 1000::bigint, g % 9, g % 100, g % 10, now() - g * interval '2 years' / ${links},
        jsonb_build_object('filler', repeat('x', 500)), md5(g::text), 1
      from generate_series(1, ${links}) g`,
    `insert into tilkee.connexions (connection_id, id, token_id, access_date, created_at, total_time, percentage_read, signed, most_visited_id, most_visited_title,
        most_visited_time, raw, content_hash, run_id)
      select 'tilkee:bench', g::text, (1 + g::bigint * 7 % ${links})::text, t, t, g % 600000, g % 100, g % 50 = 0, (g % 2000)::text, 'Document ' || g % 2000,
        g % 600000 / 2,
        jsonb_build_object('filler', repeat('x', 300)), md5(g::text), 1
      from generate_series(1, ${visits}) g, lateral (select now() - g * interval '2 years' / ${visits}) x(t)`,
    `insert into tiledesk.messages (connection_id, id, request_id, sender_fullname, text, created_at, raw, content_hash, run_id)
      select 'tiledesk:bench', 'message' || g, 'support-group-' || g, 'Person ' || g, 'Part ' || g || ' of a question about ' ||
        case when g % 1000 = 0 then 'an invoice that came too late' else 'something else' end, now() - g * interval '1 minute', ${own}
      from generate_series(1, ${links}) g`,
    'vacuum analyze',
  ];
  const stamped = ['requests', 'leads', 'messages']
    .map((name) => `tiledesk.${name}`)
    .concat('tilkee.tokens', 'tilkee.connexions');
  for (const table of stamped) {
    statements.unshift(`alter table ${table} alter column synced_at set default now() - interval '1 hour'`);
    statements.push(`alter table ${table} alter column synced_at set default now()`);
  }
  for (const statement of statements) await sql.query(statement);
}

/** A page or two of each kind, of the last days: what a minute brings. */
export async function touchMirror(sql: pg.Client): Promise<void> {
  await sql.query(`
    update tiledesk.requests set status = 1000, closed_at = now(), closed_by = 'agent1', updated_at = now(), synced_at = now()
      where connection_id = 'tiledesk:bench' and id in (select 'request' || g * 7 from generate_series(1, 200) g);
    update tiledesk.leads set email = 'new.' || id || '@example.com', synced_at = now()
      where connection_id = 'tiledesk:bench' and id in (select 'lead' || g * 97 from generate_series(1, 100) g);
    update tilkee.connexions set total_time = total_time + 60000, synced_at = now()
      where connection_id = 'tilkee:bench' and id in (select (g * 97)::text from generate_series(1, 100) g)`);
}
