/**
 * Sockets of the host: each client that comes becomes a connection, is read while the connection has room, and is written to
 * as fast as it fetches.
 */
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { UsageError } from '@pincushion/sim';
import { fileProblem } from '../file-problem';
import type { Connection, ConnectionHost } from './connection';
import type { ServedReply, ServedRequest } from './request';

/** Bytes that wait for a client before nothing more is read of it. */
const UNSENT_BYTES_MOST = 16 * 1024 * 1024;
/** Clients at a time; further ones are hung up on. */
const CLIENTS_MOST = 64;

/** Where clients come to: a port of this machine alone, or a socket in the file system. */
export type Address = { readonly port: number } | { readonly path: string };

/** Hands a request to whoever runs the machine. */
export type Submit = (request: ServedRequest, answer: (reply: ServedReply) => void) => void;

export class Listener {
  private readonly clients = new Set<Client>();

  private constructor(
    private readonly server: Server,
    private readonly path: string | null,
  ) {}

  /**
   * Listens. Throws `UsageError` ADDRESS_UNUSABLE when the port or the socket is taken or cannot be made. A socket file that nobody
   * listens on any more is replaced.
   */
  static async open(
    address: Address,
    submit: Submit,
    connect: (host: ConnectionHost) => Connection,
  ): Promise<Listener> {
    const path = 'path' in address ? address.path : null;
    if (path !== null) await removeStale(path);
    const server = createServer({ noDelay: true });
    const listener = new Listener(server, path);
    server.on('connection', (socket) => {
      listener.accept(socket, submit, connect);
    });
    await new Promise<void>((done, failed) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        failed(unusable(path ?? `port ${'port' in address ? address.port : ''}`, fileProblem(cause), cause));
      });
      if ('path' in address) server.listen(address.path, done);
      else server.listen({ host: '127.0.0.1', port: address.port }, done);
    });
    if (path !== null) chmodSync(path, 0o600);
    return listener;
  }

  /** The port that clients come to; of a socket in the file system 0. */
  get port(): number {
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get clientCount(): number {
    return this.clients.size;
  }

  /** Hangs up on everybody and takes the socket file away. */
  async close(): Promise<void> {
    const closed = new Promise<void>((done) => {
      this.server.close(() => {
        done();
      });
    });
    for (const client of [...this.clients]) client.destroy();
    await closed;
    if (this.path !== null) rmSync(this.path, { force: true });
  }

  private accept(socket: Socket, submit: Submit, connect: (host: ConnectionHost) => Connection): void {
    if (this.clients.size >= CLIENTS_MOST) {
      socket.destroy();
      return;
    }
    const client = new Client(socket, submit, connect, () => this.clients.delete(client));
    this.clients.add(client);
    client.begin();
  }
}

class Client implements ConnectionHost {
  private readonly connection: Connection;
  private gone = false;

  constructor(
    private readonly socket: Socket,
    private readonly submitted: Submit,
    connect: (host: ConnectionHost) => Connection,
    left: () => void,
  ) {
    this.connection = connect(this);
    socket.on('data', (bytes: Buffer) => {
      this.connection.receive(bytes);
      this.holdBack();
    });
    socket.on('drain', () => {
      this.connection.resume();
      this.holdBack();
    });
    // Whatever is wrong with a client is its own affair.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.gone = true;
      left();
    });
  }

  begin(): void {
    this.connection.begin();
  }

  get congested(): boolean {
    return this.socket.writableLength > UNSENT_BYTES_MOST;
  }

  send(bytes: Uint8Array): void {
    if (!this.gone) this.socket.write(bytes);
  }

  submit(request: ServedRequest, answer: (reply: ServedReply) => void): void {
    this.submitted(request, (reply) => {
      if (this.gone) return;
      answer(reply);
      this.holdBack();
    });
  }

  close(): void {
    this.gone = true;
    this.socket.end();
    // A client that does not close its side is not waited for.
    this.socket.resume();
    this.socket.destroySoon();
  }

  destroy(): void {
    this.gone = true;
    this.socket.destroy();
  }

  private holdBack(): void {
    if (this.gone) return;
    if (this.connection.full) this.socket.pause();
    else if (this.socket.isPaused()) this.socket.resume();
  }
}

/** Removes a socket that a server left behind; what is no socket, or is listened on, stays. */
async function removeStale(path: string): Promise<void> {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return;
  if (!facts.isSocket()) throw unusable(path, 'there is a file that is no socket');
  const isAlive = await new Promise<boolean>((answer) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      answer(true);
    });
    probe.once('error', () => {
      answer(false);
    });
  });
  if (isAlive) throw unusable(path, 'another server listens there');
  rmSync(path, { force: true });
}

function unusable(what: string, why: string, cause?: unknown): UsageError {
  return new UsageError('ADDRESS_UNUSABLE', `${what} cannot be listened on: ${why}`, {
    expected: 'a port that is free (0 takes any), or a path in a folder that may be written',
    ...(cause === undefined ? {} : { cause }),
  });
}
