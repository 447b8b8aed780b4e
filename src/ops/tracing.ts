import { ConfigError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Tracer } from '../trace.ts';
import type { SamplerName } from './tracing/otel.ts';

export interface TracingSettings {
  /** Base address of the collector's OTLP/HTTP side, such as http://localhost:4318. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly sampler: SamplerName;
  /** Share of traces that the ratio samplers keep, 0 to 1. */
  readonly samplerRatio: number;
}

export interface Tracing {
  readonly tracer: Tracer;
  /** BullMQ's own spans, for its queues and workers (`telemetry`). */
  readonly queueTelemetry: unknown;
  /** Sends what is left, for a few seconds at most; never throws. */
  close(): Promise<void>;
}

/**
 * Null, and nothing of OpenTelemetry is loaded, when no collector is configured.
 * @throws ConfigError when its packages, which are optional, are not installed
 */
export async function startTracing(settings: TracingSettings | null, logger: Logger): Promise<Tracing | null> {
  if (settings === null) return null;
  const { createTracing } = await import('./tracing/otel.ts').catch((cause: unknown) => {
    throw explainMissingPackages(cause);
  });
  return createTracing(settings, logger);
}

export function explainMissingPackages(cause: unknown): unknown {
  if ((cause as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') return cause;
  const message =
    'traces need packages that are not installed here (@opentelemetry/..., bullmq-otel); install leadmirror without --omit=optional, or leave this out';
  return new ConfigError([{ variable: 'OTEL_EXPORTER_OTLP_ENDPOINT', message }], { cause });
}
