/**
 * One client as the server sees it, whatever it speaks: bytes in, requests for the machine out, replies back as bytes.
 *
 * A client gets no further than its share: while too much of it is in flight, or it does not fetch its replies, no more of what
 * it sent is looked at, and its socket is not read. Others are not held up by that.
 */
import type { ServedReply, ServedRequest } from './request';

/** Where a connection sends to. */
export interface ConnectionHost {
  /** To the client. */
  send(bytes: Uint8Array): void;
  /** To the machine; `answer` is called once, unless the client has gone. */
  submit(request: ServedRequest, answer: (reply: ServedReply) => void): void;
  /** Hangs up, after what was sent. */
  close(): void;
  /** The client does not fetch what was sent to it. */
  readonly congested: boolean;
}

export interface Connection {
  /** The client is there. */
  begin(): void;
  /** Bytes of the client. */
  receive(bytes: Uint8Array): void;
  /** Room again: looks at what was put aside. */
  resume(): void;
  /** Nothing of the client need be read now. */
  readonly full: boolean;
}
