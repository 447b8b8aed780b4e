/**
 * Loaded into the peer's process before it: its client knows only Stripe's own host, so its requests are sent to the simulated one (`STRIPE_AT`). Its
 * description of the tables, which it downloads at the start, is answered here.
 */
import { Agent, type ClientRequest, type IncomingMessage, type RequestOptions, request } from 'node:http';
import https from 'node:https';
import { syncBuiltinESMExports } from 'node:module';

const { hostname, port } = new URL(process.env.STRIPE_AT ?? '');
const agent = new Agent({ keepAlive: true });
const send = (options: RequestOptions, onResponse?: (response: IncomingMessage) => void): ClientRequest => {
  const sent = request({ ...options, protocol: 'http:', host: hostname, hostname, port, agent }, onResponse);
  // The client sends when the encryption is agreed on.
  sent.on('socket', (socket) => socket.connecting && socket.once('connect', () => socket.emit('secureConnect')));
  return sent;
};
https.request = send as typeof https.request;
syncBuiltinESMExports();

const [text, whole, flag, nested] = ['string', 'integer', 'boolean', 'object'].map((type) => ({
  type,
  nullable: true,
}));
const properties = {
  ...{
    id: text,
    object: text,
    created: whole,
    email: text,
    name: text,
    phone: text,
    description: text,
    currency: text,
  },
  ...{ balance: whole, delinquent: flag, livemode: flag, metadata: nested },
};
const description = {
  ...{ openapi: '3.0.0', info: { version: '2020-08-27' } },
  components: { schemas: { customer: { 'x-resourceId': 'customer', type: 'object', properties } } },
};
globalThis.fetch = async (input) =>
  Response.json(new URL(String(input)).hostname.startsWith('api.') ? [{ sha: 'made-up' }] : description);
