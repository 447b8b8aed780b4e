import { setImmediate as nextTurn } from 'node:timers/promises';
import { Agent, type Dispatcher, EnvHttpProxyAgent, request as undiciRequest } from 'undici';
import { type Clock, systemClock } from '../clock.ts';
import { abortError, ConfigError, LeadmirrorError, TransientError } from '../errors.ts';
import { isLoopback } from '../loopback.ts';
import { ACCEPT_ENCODING, isDecodeFailure, readBody } from './body.ts';
import { createGuardedLookup } from './guarded-lookup.ts';
import { bareCause, networkCode, networkFailure } from './network-failure.ts';
import { parseHttpDate } from './retry-after.ts';
import { assertSecureUrl, hostAndPort, isRedirect, redactedPath, redirectTarget } from './secure-url.ts';

/**
 * One attempt over the wire, whatever its status. It keeps no cookies and lets no credential leave the host that it is
 * for. Errors name method, host and path; never query, header or body.
 */

export interface ProxySettings {
  readonly httpProxy?: string;
  readonly httpsProxy?: string;
  readonly noProxy?: string;
}

export interface HttpClientOptions {
  /** Time limit of one attempt, redirects and body included, unless the request brings its own. */
  readonly timeoutMs: number;
  readonly maxBytes?: number;
  readonly allowInsecureHttp?: boolean;
  /** HTTPS_PROXY and its relatives, as config read them; null: none. Loopback hosts are always asked directly. */
  readonly proxy?: ProxySettings | null;
  readonly userAgent?: string;
  readonly clock?: Clock;
  /** Hosts that must not be in a private network. A proxy resolves names by itself. */
  readonly isGuarded?: (host: string) => boolean;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: string;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
}

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case; repeated ones joined by a comma; no `set-cookie`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** The `Date` header, ms since 1970; null when absent or unreadable. */
  readonly serverTime: number | null;
  /** Our clock when the attempt began, ms since 1970. */
  readonly requestedAt: number;
  readonly durationMs: number;
}

const DEFAULT_MAX_BYTES = 64 * 2 ** 20;
const CONNECT_TIMEOUT_MS = 10_000;
const TIMEOUT_CODES: ReadonlySet<string> = new Set(['UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);

export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #clock: Clock;
  readonly #direct: Agent;
  readonly #proxied: EnvHttpProxyAgent | null;
  #closed = false;

  constructor(options: HttpClientOptions) {
    const timeout = Math.min(CONNECT_TIMEOUT_MS, options.timeoutMs);
    const { isGuarded } = options;
    const connect = { timeout, ...(isGuarded && { lookup: createGuardedLookup(isGuarded) }) };
    // undici's own limits are off: the one time limit of `send` covers headers and body together.
    const settings = { headersTimeout: 0, bodyTimeout: 0 };
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#direct = new Agent({ ...settings, connect });
    const tls = { connect, requestTls: connect, proxyTls: connect };
    this.#proxied = createProxyAgent(options.proxy ?? null, { ...settings, ...tls });
  }

  /**
   * @throws TransientError (`network`, `timeout`, `upstream_garbled`), ResponseTooLargeError, UpstreamRefusedError
   * (`redirect_refused`), ConfigError for an address that is not allowed, or an AbortError when the signal fired or the
   * client was closed
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const url = assertSecureUrl(request.url, this.#options);
    const { signal, timeoutMs = this.#options.timeoutMs } = request;
    if (this.#closed || signal?.aborted) throw abortError(signal);

    // Its listener is removed at the end: a signal that lives as long as the process would gather one per request.
    const attempt = new AbortController();
    const onAbort = () => attempt.abort();
    signal?.addEventListener('abort', onAbort, { once: true });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      attempt.abort();
    }, timeoutMs);

    try {
      return await this.#exchange(url, request, attempt.signal);
    } catch (error) {
      if (this.#closed || signal?.aborted) throw abortError(signal);
      if (error instanceof LeadmirrorError) throw error;
      const code = networkCode(error);
      if (timedOut || TIMEOUT_CODES.has(code ?? '')) throw timeoutFailure(url, request.method, timeoutMs, timedOut);
      throw this.#translate(error, code, url, request.method);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#direct.destroy(), this.#proxied?.destroy()]);
  }

  async #exchange(start: URL, request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
    const requestedAt = this.#clock.now();
    const startedAt = performance.now();
    let url = start;
    for (let followed = 0; ; followed += 1) {
      const answer = await undiciRequest(url, {
        method: request.method,
        headers: {
          'accept-encoding': ACCEPT_ENCODING,
          'user-agent': this.#options.userAgent ?? 'leadmirror',
          ...request.headers,
        },
        body: request.body ?? null,
        signal,
        dispatcher: this.#dispatcherFor(url),
      });
      const headers = flattenHeaders(answer.headers);
      if (!isRedirect(answer.statusCode)) {
        const text = await this.#readText(answer, headers, { url, request, signal });
        // undici takes a connection back one turn later; otherwise the next request would open a second one.
        await nextTurn();
        return {
          status: answer.statusCode,
          headers,
          text,
          serverTime: parseHttpDate(headers.date),
          requestedAt,
          durationMs: performance.now() - startedAt,
        };
      }
      await answer.body.dump({ limit: 16_384, signal });
      const { location } = headers;
      url = redirectTarget({ from: url, method: request.method, status: answer.statusCode, location, followed });
    }
  }

  async #readText(
    answer: Dispatcher.ResponseData,
    headers: Readonly<Record<string, string>>,
    { url, request, signal }: { url: URL; request: HttpRequest; signal: AbortSignal },
  ): Promise<string> {
    try {
      return await readBody(answer.body, {
        encoding: headers['content-encoding'] ?? '',
        declaredBytes: answer.statusCode === 204 ? 0 : Number(headers['content-length'] ?? Number.NaN),
        maxBytes: request.maxBytes ?? this.#options.maxBytes ?? DEFAULT_MAX_BYTES,
        where: hostAndPort(url),
      });
    } catch (error) {
      // The status and Retry-After of an overloaded server are worth more than the page it failed to deliver with them.
      const overloaded = answer.statusCode === 429 || answer.statusCode >= 500;
      const broken = !(error instanceof LeadmirrorError) && networkCode(error) !== null;
      if (overloaded && broken && !signal.aborted) return '';
      throw error;
    }
  }

  /** A request to this machine must stay on it, the more so as it may be plain http. */
  #dispatcherFor(url: URL): Dispatcher {
    return isLoopback(url.hostname) ? this.#direct : (this.#proxied ?? this.#direct);
  }

  #translate(error: unknown, code: string | null, url: URL, method: string): unknown {
    // Without a code it is a mistake in this program and must stay one.
    if (code === null) return error;
    const where = hostAndPort(url);
    if (code === 'UND_ERR_INVALID_ARG') {
      return new Error(
        `cannot build the request ${method} ${where}${redactedPath(url)}: a header or the path holds characters that HTTP does not allow; check the configured credential for line breaks`,
        { cause: bareCause(error, code) },
      );
    }
    if (isDecodeFailure(code)) {
      const message = `${where} sent a compressed body that cannot be unpacked (${code})`;
      return new TransientError('upstream_garbled', message, { cause: bareCause(error, code) });
    }
    return networkFailure(error, { code, where, proxied: this.#dispatcherFor(url) === this.#proxied });
  }
}

function timeoutFailure(url: URL, method: string, timeoutMs: number, total: boolean): TransientError {
  const where = hostAndPort(url);
  return new TransientError(
    'timeout',
    total
      ? `${where} did not finish its answer to ${method} ${redactedPath(url)} within ${timeoutMs / 1000} s; if this keeps happening, ask for fewer rows, or allow more time (HTTP_TIMEOUT_SECONDS)`
      : `${where} did not accept the connection in time; check host, port, firewall and proxy settings`,
  );
}

function flattenHeaders(headers: Dispatcher.ResponseData['headers']): Readonly<Record<string, string>> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && name !== 'set-cookie') flat[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return flat;
}

/** Explicit empty strings keep undici from reading the environment by itself: config is the only one that does. */
function createProxyAgent(proxy: ProxySettings | null, settings: EnvHttpProxyAgent.Options): EnvHttpProxyAgent | null {
  if (!proxy?.httpProxy && !proxy?.httpsProxy) return null;
  return new EnvHttpProxyAgent({
    ...settings,
    httpProxy: proxyAddress('HTTP_PROXY', proxy.httpProxy),
    httpsProxy: proxyAddress('HTTPS_PROXY', proxy.httpsProxy),
    noProxy: proxy.noProxy ?? '',
  });
}

/** `proxy.example.com:3128` is accepted as elsewhere. The message never repeats the value, a password may be in it. */
function proxyAddress(variable: string, value: string | undefined): string {
  if (!value) return '';
  const address = value.includes('://') ? value : `http://${value}`;
  if (URL.canParse(address) && /^https?:$/.test(new URL(address).protocol)) return address;
  throw new ConfigError([{ variable, message: 'is not the address of an HTTP proxy; write it as http://host:port' }]);
}
