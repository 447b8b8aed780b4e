import type { Prisma, PrismaClient } from '../generated/prisma/client.ts';

/**
 * The database's clock, to the millisecond: processes whose own clocks differ go by this one. `less`: an interval of
 * Postgres, whose months are those of the calendar.
 */
export async function databaseNow(db: PrismaClient | Prisma.TransactionClient, less = '0'): Promise<Date> {
  const rows = await db.$queryRaw<[{ now: Date }]>`select clock_timestamp() - ${less}::interval as now`;
  return rows[0].now;
}

export const addMs = (at: Date, ms: number): Date => new Date(at.getTime() + ms);
