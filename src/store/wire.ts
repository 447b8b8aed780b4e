import { isIP, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { explainTls, NO_DIRECT, NO_POSTGRES, NO_TLS, readPem, WireError } from './wire-errors.ts';

/**
 * The way to a Postgres server, as a stream for node-postgres: encrypted or not by `sslmode`, with the meanings of
 * libpq. The driver knows neither `allow` nor the step back of `prefer`, and cannot open a second connection under a
 * client that has begun.
 */
export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof SSL_MODES)[number];

export interface TlsSettings {
  readonly mode: SslMode;
  /** TLS from the first byte (PostgreSQL 17), without asking first. */
  readonly isDirect: boolean;
  /** Paths of PEM files. Null for `rootCert`: the authorities that Node knows. */
  readonly rootCert: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  readonly keyPassword: string | null;
}

type Way = 'plain' | 'tls';

const WAYS: Readonly<Record<SslMode, readonly Way[]>> = {
  disable: ['plain'],
  allow: ['plain', 'tls'],
  prefer: ['tls', 'plain'],
  require: ['tls'],
  'verify-ca': ['tls'],
  'verify-full': ['tls'],
};

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

export class Wire extends Duplex {
  readonly #tls: TlsSettings;
  #way: Way = 'plain';
  /** What is tried when that fails. */
  #ways: readonly Way[];
  #fullUntil = 0;
  #target: { readonly port: number; readonly host: string } | { readonly path: string } = { path: '' };
  #socket = new Socket();
  /** What was sent before the first answer; null once that came and was no refusal of the way. */
  #sent: Buffer[] | null = [];
  #isOpen = false;
  #keepAlive: readonly [boolean, number] = [false, 0];

  constructor(tls: TlsSettings) {
    super({ allowHalfOpen: false });
    this.#tls = tls;
    this.#ways = WAYS[tls.mode];
  }

  /** The events of `net.Socket`; `connect` is emitted when the way is open, encrypted where required. */
  connect(portOrPath: number | string, host = 'localhost'): this {
    // A socket file is private already; libpq does not encrypt there either.
    if (typeof portOrPath === 'string') this.#ways = ['plain'];
    this.#fullUntil = performance.now() + FULL_MS;
    this.#target = typeof portOrPath === 'string' ? { path: portOrPath } : { port: portOrPath, host };
    this.#open();
    return this;
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(isOn = false, afterMs = 0): this {
    this.#keepAlive = [isOn, afterMs];
    this.#socket.setKeepAlive(isOn, afterMs);
    return this;
  }

  ref(): this {
    this.#socket.ref();
    return this;
  }

  unref(): this {
    this.#socket.unref();
    return this;
  }

  #open(): void {
    const [way = 'plain', ...others] = this.#ways;
    this.#way = way;
    this.#ways = others;
    const socket = new Socket();
    this.#socket = socket;
    socket.setNoDelay(true).setKeepAlive(...this.#keepAlive);
    const giveUp = (error: Error) => this.destroy(error);
    socket.once('error', giveUp);
    socket.once('connect', () => {
      if (way === 'plain') this.#use(socket, giveUp);
      else if (this.#tls.isDirect) this.#encrypt(socket, giveUp);
      else this.#askForTls(socket, giveUp);
    });
    try {
      socket.connect('path' in this.#target ? this.#target : { ...this.#target });
    } catch (cause) {
      this.destroy(new WireError('host or port in DATABASE_URL cannot be one; correct them', { cause }));
    }
  }

  #askForTls(socket: Socket, giveUp: (error: Error) => void): void {
    // A server that hangs up instead of answering does not know the question.
    const onEnd = () => this.#fail(socket, new WireError(NO_TLS));
    socket.off('error', giveUp).once('error', onEnd).once('close', onEnd);
    socket.once('data', (answer) => {
      socket.off('error', onEnd).off('close', onEnd).once('error', giveUp);
      const [first] = answer.toString('latin1');
      // More than one byte would be an answer of a third party, smuggled in before the encryption.
      if (first === 'S' && answer.length === 1) this.#encrypt(socket, giveUp);
      else if (first === 'N' && answer.length === 1 && this.#ways[0] === 'plain') {
        this.#ways = [];
        this.#way = 'plain';
        this.#use(socket, giveUp);
      } else this.#fail(socket, new WireError(first === 'N' ? NO_TLS : NO_POSTGRES));
    });
    socket.write(SSL_REQUEST);
  }

  #encrypt(socket: Socket, giveUp: (error: Error) => void): void {
    let encrypted: TLSSocket;
    const onError = (cause: unknown) => this.#fail(socket, explainTls(cause, this.#tls));
    try {
      encrypted = connectTls({ ...this.#tlsOptions(), socket });
    } catch (cause) {
      onError(cause);
      return;
    }
    socket.off('error', giveUp).on('error', () => {});
    encrypted.once('error', onError);
    encrypted.once('secureConnect', () => {
      if (this.#tls.isDirect && encrypted.alpnProtocol !== 'postgresql') {
        onError(new WireError(NO_DIRECT));
        return;
      }
      encrypted.off('error', onError).on('error', (cause) => this.destroy(explainTls(cause, this.#tls)));
      this.#use(encrypted, null);
    });
  }

  #tlsOptions(): ConnectionOptions {
    const { mode, isDirect, rootCert, cert, key, keyPassword } = this.#tls;
    const host = 'host' in this.#target ? this.#target.host : '';
    const isVerified = mode === 'verify-ca' || mode === 'verify-full' || (mode === 'require' && rootCert !== null);
    return {
      host,
      ...(isIP(host) === 0 && { servername: host }),
      ...(rootCert !== null && isVerified && { ca: readPem('sslrootcert', rootCert) }),
      ...(cert !== null && { cert: readPem('sslcert', cert) }),
      ...(key !== null && { key: readPem('sslkey', key) }),
      ...(keyPassword !== null && { passphrase: keyPassword }),
      ...(isDirect && { ALPNProtocols: ['postgresql'] }),
      rejectUnauthorized: isVerified,
      ...(mode !== 'verify-full' && { checkServerIdentity: () => undefined }),
    };
  }

  /** The next way, where there is one; else the end. */
  #fail(socket: Socket, error: Error): void {
    socket.on('error', () => {}).destroy();
    if (this.#ways.length > 0 && !this.destroyed) this.#open();
    else this.destroy(error);
  }

  #use(socket: Socket, giveUp: ((error: Error) => void) | null): void {
    this.#socket = socket;
    if (giveUp !== null) socket.off('error', giveUp).on('error', (error) => this.destroy(error));
    socket.on('data', (data) => this.#receive(socket, data));
    socket.once('end', () => this.push(null));
    socket.once('close', () => {
      if (this.#socket === socket) this.destroy();
    });
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.emit('connect');
    } else for (const chunk of this.#sent ?? []) socket.write(chunk);
  }

  #receive(socket: Socket, data: Buffer): void {
    if (this.#sent !== null) {
      if (IS_FULL.test(data.toString('latin1')) && performance.now() < this.#fullUntil) {
        socket.removeAllListeners('end').removeAllListeners('close').destroy();
        this.#ways = [this.#way, ...this.#ways];
        setTimeout(() => this.destroyed || this.#open(), FULL_PAUSE_MS);
        return;
      }
      if (this.#ways.length > 0 && REFUSES_WAY.test(data.toString('latin1'))) {
        // The refusal of this way only: pg_hba.conf may have another line for the other one.
        socket.removeAllListeners('end').removeAllListeners('close');
        this.#fail(socket, new Error('refused'));
        return;
      }
      this.#sent = null;
    }
    try {
      if (!this.push(data)) socket.pause();
    } catch (cause) {
      // The driver's parser throws at what is no message of Postgres; nothing else would catch that.
      this.destroy(new WireError(NO_POSTGRES, { cause, isPassing: true }));
    }
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#sent?.push(chunk);
    this.#socket.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'buffer', done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.on('error', () => {}).destroy();
    done(error);
  }
}

/** No connection is free. Where few are allowed, others give theirs back within moments. */
const IS_FULL = /^E[\s\S]{4}[\s\S]*\0C53300\0/;
const FULL_PAUSE_MS = 200;
// Less than a pool waits for a connection (10 s), whose error would not name the cause.
const FULL_MS = 8_000;

/** The first message of the server is an error of the sign-in, or PgBouncer's for a connection without TLS. */
const REFUSES_WAY = /^E[\s\S]{4}[\s\S]*\0C(28000|08P01)\0/;
