/** A client of NBD: first its handshake, then its requests. */
import { ByteQueue } from '../byte-queue';
import type { Connection, ConnectionHost } from '../connection';
import { Handshake } from './handshake';
import type { NbdExport } from './nbd-protocol';
import { nbdError, nextRequest, replyHeader } from './transmission';
import type { NbdRequest } from './transmission';

/** Requests and bytes of one client that are in flight at most. */
const REQUESTS_MOST = 128;
const BYTES_MOST = 64 * 1024 * 1024;

export class NbdConnection implements Connection {
  private readonly bytes = new ByteQueue();
  private readonly handshake: Handshake;
  private chosen: NbdExport | null = null;
  private over = false;
  private requests = 0;
  private bytesInFlight = 0;

  constructor(
    exports: readonly NbdExport[],
    private readonly host: ConnectionHost,
  ) {
    this.handshake = new Handshake(exports, (bytes) => {
      host.send(bytes);
    });
  }

  begin(): void {
    this.handshake.begin();
  }

  receive(bytes: Uint8Array): void {
    this.bytes.push(bytes);
    this.resume();
  }

  get full(): boolean {
    return this.requests >= REQUESTS_MOST || this.bytesInFlight >= BYTES_MOST || this.host.congested;
  }

  resume(): void {
    while (!this.over && !this.full) {
      if (this.chosen === null) {
        const state = this.handshake.receive(this.bytes);
        if (state === 'more') return;
        if (state === 'close') this.end();
        else this.chosen = state;
      } else {
        const next = nextRequest(this.bytes, this.chosen);
        if (next === 'more') return;
        if (next === 'close') this.end();
        else this.handle(next);
      }
    }
  }

  private handle({ cookie, request, error }: NbdRequest): void {
    if (request === null) {
      this.host.send(replyHeader(cookie, error));
      return;
    }
    this.requests++;
    this.bytesInFlight += request.length;
    this.host.submit(request, (reply) => {
      this.requests--;
      this.bytesInFlight -= request.length;
      const code = nbdError(reply);
      this.host.send(replyHeader(cookie, code));
      if (code === 0 && reply.data.length > 0) this.host.send(reply.data);
      this.hangUpWhenDone();
      this.resume();
    });
  }

  /** No more is read of this client; what it asked for is still answered. */
  private end(): void {
    this.over = true;
    this.hangUpWhenDone();
  }

  private hangUpWhenDone(): void {
    if (this.over && this.requests === 0) this.host.close();
  }
}
