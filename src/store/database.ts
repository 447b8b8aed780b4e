import type pg from 'pg';
import { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import type { Tracer } from '../trace.ts';
import { addressOf } from './address.ts';
import { createDriverAdapter } from './driver-adapter.ts';
import { type DatabaseSession, FEW, poolConfig } from './session.ts';

export interface Database {
  readonly prisma: PrismaClient;
  /** `host:port/name`, for messages: never the user or password. */
  readonly address: string;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly logger: Logger;
  readonly maxConnections?: number;
  readonly tracer?: Tracer;
}

/** Opens the pool lazily: nothing connects before the first query. Call `assertReachable` to know. */
export function createDatabase(options: DatabaseOptions): Database {
  const { url, logger, maxConnections = 10 } = options;
  const state = { isPooled: false, hasOddDefaults: false };
  const onConnect = ({ isDirect, hasOddDefaults }: DatabaseSession) => {
    state.isPooled ||= !isDirect;
    state.hasOddDefaults ||= hasOddDefaults;
  };
  const config = { ...poolConfig(url, maxConnections), onConnect } as pg.PoolConfig;
  const adapter = createDriverAdapter({ tracer: options.tracer, state }, config, {
    // An idle connection that the server closed is replaced by the next query; without a listener it would end the
    // process.
    onPoolError: (error) => logger.debug({ err: error.message }, 'idle database connection closed'),
    onConnectionError: (error) => logger.debug({ err: error.message }, 'database connection closed'),
  });
  const prisma = new PrismaClient({
    adapter,
    errorFormat: 'minimal',
    transactionOptions: { maxWait: maxConnections < FEW ? 60_000 : 15_000, timeout: 60_000 },
  });
  return { prisma, address: addressOf(url), close: () => prisma.$disconnect() };
}
