import { type Context, context, type Span as OtelSpan, propagation, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-node';
import { BullMQOtel } from 'bullmq-otel';
import { within } from '../../clock.ts';
import { errorCode, isAbort } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import type { Attributes, Span, Tracer } from '../../trace.ts';
import { readVersion } from '../../version.ts';
import type { Tracing, TracingSettings } from '../tracing.ts';

/**
 * OpenTelemetry behind our own small interface. Only `ops/tracing.ts` imports this file, and only when a collector is
 * configured: the libraries take longer to load than a whole `--help`.
 */
const EXPORT_TIMEOUT_MS = 5_000;
const CLOSE_MS = 5_000;

/** By the names of the standard (OTEL_TRACES_SAMPLER). */
const SAMPLERS = {
  always_on: () => new AlwaysOnSampler(),
  always_off: () => new AlwaysOffSampler(),
  traceidratio: (ratio: number) => new TraceIdRatioBasedSampler(ratio),
  parentbased_always_on: () => new ParentBasedSampler({ root: new AlwaysOnSampler() }),
  parentbased_always_off: () => new ParentBasedSampler({ root: new AlwaysOffSampler() }),
  parentbased_traceidratio: (ratio: number) => new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
};
export type SamplerName = keyof typeof SAMPLERS;

export function createTracing(settings: TracingSettings, logger: Logger): Tracing {
  const { endpoint, headers, serviceName, sampler, samplerRatio } = settings;
  const version = readVersion();
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
    headers: { ...headers },
    timeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': serviceName, 'service.version': version }),
    sampler: SAMPLERS[sampler](samplerRatio),
    spanProcessors: [new BatchSpanProcessor(exporter, { exportTimeoutMillis: EXPORT_TIMEOUT_MS })],
  });
  // For the whole process: BullMQ's spans and ours find their parents through what is registered here.
  provider.register();
  logger.info({ endpoint: new URL(endpoint).host, sampler }, 'traces are sent');
  return {
    tracer: createTracer(provider, version),
    queueTelemetry: new BullMQOtel({ tracerName: 'leadmirror-queue', version }),
    async close() {
      const closed = provider.shutdown().catch((error: unknown) => {
        logger.warn({ reason: error instanceof Error ? error.name : 'unknown' }, 'the last traces could not be sent');
      });
      await within(CLOSE_MS, closed).catch(() => {});
      trace.disable();
      context.disable();
      propagation.disable();
    },
  };
}

function createTracer(provider: NodeTracerProvider, version: string): Tracer {
  const tracer = provider.getTracer('leadmirror', version);
  const open = (name: string, attributes: Attributes | undefined, parent: Context): Span =>
    wrap(tracer.startSpan(name, { attributes }, parent), parent);
  const wrap = (span: OtelSpan, parent: Context): Span => {
    const inside = trace.setSpan(parent, span);
    return {
      run: (work) => context.with(inside, work),
      child: (name, attributes) => open(name, attributes, inside),
      set: (attributes) => void span.setAttributes(attributes),
      end(error) {
        if (error !== undefined) fail(span, error);
        span.end();
      },
    };
  };
  return {
    open: (name, attributes) => open(name, attributes, context.active()),
    active() {
      const current = context.active();
      const span = trace.getSpan(current);
      return span === undefined ? null : wrap(span, current);
    },
  };
}

/** Records only the code of the cause: a driver's message may quote its input. */
function fail(span: OtelSpan, error: unknown): void {
  const type = isAbort(error) ? 'aborted' : errorCode(error);
  span.setAttribute('error.type', type);
  span.setStatus({ code: SpanStatusCode.ERROR, message: type });
}
