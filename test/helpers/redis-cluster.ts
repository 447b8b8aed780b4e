import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { findClosedPorts } from './closed-port.ts';
import { type CuttableProxy, createCuttableProxy } from './cuttable-proxy.ts';
import { serverProgramForTests } from './redis.ts';

/** One master of the cluster, with its share of the slots. */
export interface ClusterNode {
  /** Straight to the node, past its proxy. */
  readonly admin: Redis;
  /** Takes the node away from clients; the other nodes still see it. */
  readonly proxy: CuttableProxy;
  /** Stops the node without a goodbye. What it held is gone. */
  kill(): Promise<void>;
  /** Starts it again, empty, at the same address; resolves when the cluster is whole. */
  restart(): Promise<void>;
}

export interface TestCluster {
  /** Of all nodes, comma separated, as in REDIS_URL. */
  readonly url: string;
  readonly nodes: readonly ClusterNode[];
  /** The node that holds a key. */
  ownerOf(key: string): Promise<ClusterNode>;
  flushAll(): Promise<void>;
  close(): Promise<void>;
}

const NODES = 3;
const SLOTS = 16_384;

/**
 * A real Redis Cluster of three masters on loopback, of a redis-server or valkey-server on PATH; null where there is none. Clients reach each node
 * through a proxy, whose address it announces, so that a node can be taken away from them alone.
 */
export async function startTestCluster(): Promise<TestCluster | null> {
  const program = await serverProgramForTests();
  if (program === null) return null;
  const directory = await mkdtemp(join(tmpdir(), 'leadmirror-cluster-'));
  const ports = await findClosedPorts(2 * NODES);
  const started: StartedNode[] = [];
  for (let i = 0; i < NODES; i++) {
    const [port = 0, busPort = 0] = ports.slice(2 * i);
    started.push(await startNode({ program, directory, port, busPort }));
  }
  const whole = () => Promise.all(started.map(({ admin }) => untilWhole(admin)));
  await joinNodes(started);
  await whole();
  const nodes = started.map((node) => ({
    ...node,
    async restart() {
      await node.restart();
      await whole();
    },
  }));
  return {
    url: nodes.map(({ proxy }) => proxy.url).join(','),
    nodes,
    async ownerOf(key) {
      const slot = Number(await nodes[0]?.admin.cluster('KEYSLOT', key));
      const owner = nodes[Math.floor((slot * NODES) / SLOTS)];
      if (owner === undefined) throw new Error(`no node holds slot ${slot}`);
      return owner;
    },
    async flushAll() {
      await Promise.all(nodes.map(({ admin }) => admin.flushall()));
    },
    async close() {
      for (const node of nodes) await node.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface StartedNode extends ClusterNode {
  readonly port: number;
  readonly busPort: number;
  close(): Promise<void>;
}

interface NodeSettings {
  readonly program: string;
  readonly directory: string;
  readonly port: number;
  readonly busPort: number;
}

async function startNode({ program, directory, port, busPort }: NodeSettings): Promise<StartedNode> {
  const proxy = await createCuttableProxy(`redis://127.0.0.1:${port}`);
  const settings = {
    port,
    bind: '127.0.0.1',
    save: '',
    appendonly: 'no',
    dir: directory,
    'cluster-enabled': 'yes',
    'cluster-config-file': `nodes-${port}.conf`,
    'cluster-node-timeout': 1_000,
    'cluster-port': busPort,
    'cluster-announce-ip': '127.0.0.1',
    'cluster-announce-port': new URL(proxy.url).port,
    'cluster-announce-bus-port': busPort,
  };
  const words = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  let server: ChildProcess;
  const onExit = () => server.kill('SIGKILL');
  process.once('exit', onExit);
  const start = async () => {
    server = spawn(program, words, { stdio: 'ignore' });
  };
  const kill = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
  };
  await start();
  const admin = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: null, retryStrategy: () => 50 });
  admin.on('error', () => {});
  await admin.ping();
  return {
    admin,
    proxy,
    port,
    busPort,
    kill,
    restart: start,
    async close() {
      process.off('exit', onExit);
      admin.disconnect();
      await kill();
      await proxy.close();
    },
  };
}

async function joinNodes(nodes: readonly StartedNode[]): Promise<void> {
  const share = (i: number) => Math.ceil((i * SLOTS) / nodes.length);
  for (const [i, { admin }] of nodes.entries()) {
    await admin.cluster('SET-CONFIG-EPOCH', i + 1);
    await admin.cluster('ADDSLOTSRANGE', share(i), share(i + 1) - 1);
  }
  const [first, ...others] = nodes;
  for (const { port, busPort } of others) await first?.admin.call('CLUSTER', 'MEET', '127.0.0.1', port, busPort);
}

async function untilWhole(admin: Redis): Promise<void> {
  const facts = ['cluster_state:ok', `cluster_slots_ok:${SLOTS}`, `cluster_known_nodes:${NODES}`];
  for (let i = 0; i < 300; i++) {
    const info = await admin.cluster('INFO');
    if (facts.every((fact) => info.includes(fact))) return;
    await delay(50);
  }
  throw new Error('the nodes did not become one cluster');
}
