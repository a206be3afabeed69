/** Clients with real sockets: those that are slow, silent or rude hold up nobody else. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NbdConnection } from '../src/serve/nbd/nbd-connection';
import { Listener } from '../src/serve/listener';
import type { Address } from '../src/serve/listener';
import type { ServedRequest } from '../src/serve/request';
import { EXPORT, HELLO, go, request } from './nbd-client';

const folder = mkdtempSync(join(tmpdir(), 'pincushion-listen-'));
const listeners: Listener[] = [];
afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.close();
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Answers everything at once; reads bring a mebibyte. */
async function listen(address: Address, asked: ServedRequest[] = []): Promise<Listener> {
  const listener = await Listener.open(
    address,
    (each, answer) => {
      asked.push(each);
      const bytes = each.kind === 'block' && each.op === 'read' ? each.length : 0;
      setImmediate(answer, { status: 0, result: 0, data: new Uint8Array(bytes) });
    },
    (host) => new NbdConnection([EXPORT], host),
  );
  listeners.push(listener);
  return listener;
}

async function client(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await new Promise((done) => socket.once('connect', done));
  return socket;
}

/** Goes through the handshake and a flush; resolves with the reply's last bytes. */
async function flushes(socket: Socket): Promise<boolean> {
  const got = new Promise<boolean>((done) => {
    let all = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => {
      all = Buffer.concat([all, bytes]);
      if (all.includes(Buffer.from('67446698', 'hex'))) done(true);
    });
    socket.once('close', () => {
      done(false);
    });
  });
  socket.write(Buffer.concat([HELLO, go(''), request({ command: 3 })]));
  const answer = await got;
  socket.destroy();
  return answer;
}

describe('a listener', () => {
  it('serves a client while others say nothing, stop in the middle of a message, or send rubbish', async () => {
    const { port } = await listen({ port: 0 });
    const silent = await client(port);
    const half = await client(port);
    half.write(Buffer.concat([HELLO, go(''), request({ command: 1, data: Buffer.alloc(4096) }).subarray(0, 1000)]));
    const rude = await client(port);
    rude.resume().write(Buffer.alloc(100_000, 0x41));
    await new Promise((done) => rude.once('close', done));
    expect(await flushes(await client(port))).toBe(true);
    silent.destroy();
    half.destroy();
  });

  it('reads no more of a client that does not fetch its replies', async () => {
    const asked: ServedRequest[] = [];
    const { port } = await listen({ port: 0 }, asked);
    const greedy = await client(port);
    greedy.pause();
    const reads = Array.from({ length: 400 }, (_, i) => request({ command: 0, cookie: i, length: 1 << 20 }));
    greedy.write(Buffer.concat([HELLO, go(''), ...reads]));
    expect(await flushes(await client(port))).toBe(true);
    for (let before = -1; before !== asked.length;) {
      before = asked.length;
      for (let i = 0; i < 50; i++) await new Promise((turn) => setImmediate(turn));
    }
    expect(asked.length).toBeLessThan(200);
    greedy.destroy();
  });

  it('does not take in what a client sends while its share is in flight', async () => {
    const listener = await Listener.open(
      { port: 0 },
      () => undefined, // The machine never answers.
      (host) => new NbdConnection([EXPORT], host),
    );
    listeners.push(listener);
    const eager = await client(listener.port);
    eager.resume();
    const data = Buffer.alloc(64 * 1024);
    eager.write(Buffer.concat([HELLO, go('')]));
    for (let i = 0; i < 800; i++) eager.write(request({ command: 1, cookie: i, data }));
    // Until nothing moves any more: 128 requests have gone, and what the buffers of the host hold.
    for (let before = -1, same = 0; same < 20;) {
      same = before === eager.writableLength ? same + 1 : 0;
      before = eager.writableLength;
      await new Promise((turn) => setTimeout(turn, 5));
    }
    expect(eager.writableLength).toBeGreaterThan(0);
    eager.destroy();
  });

  it('has a limited number of clients', async () => {
    const { port } = await listen({ port: 0 });
    const held = await Promise.all(Array.from({ length: 64 }, () => client(port)));
    expect(await flushes(await client(port))).toBe(false);
    for (const socket of held) socket.destroy();
  });

  it('hangs up on everybody and takes its socket file away when it is closed', async () => {
    const path = join(folder, 'own.sock');
    const listener = await listen({ path });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const socket = connect(path);
    const gone = new Promise((done) => socket.once('close', done));
    await new Promise((done) => socket.once('data', done));
    await listener.close();
    listeners.splice(0);
    await gone;
    expect(() => statSync(path)).toThrow(/ENOENT/);
  });

  it('replaces a socket that nobody listens on, and refuses one that is used, a file, and a port that is taken', async () => {
    const path = join(folder, 'used.sock');
    await listen({ path });
    await expect(listen({ path })).rejects.toThrow(/ADDRESS_UNUSABLE.*another server/);
    const file = join(folder, 'file');
    writeFileSync(file, '');
    await expect(listen({ path: file })).rejects.toThrow(/ADDRESS_UNUSABLE.*no socket/);
    await expect(listen({ path: join(folder, 'missing', 'x.sock') })).rejects.toThrow(/ADDRESS_UNUSABLE/);
    const { port } = await listen({ port: 0 });
    await expect(listen({ port })).rejects.toThrow(/ADDRESS_UNUSABLE.*port \d+/);
    const stale = join(folder, 'stale.sock');
    await leaveBehind(stale);
    await listen({ path: stale });
  });
});

/** A socket file whose server is gone. */
async function leaveBehind(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(path, done));
  // A hard link survives the removal of the name that the server knows.
  const { linkSync } = await import('node:fs');
  linkSync(path, `${path}.kept`);
  await new Promise((done) => server.close(done));
  linkSync(`${path}.kept`, path);
}
