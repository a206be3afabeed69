/**
 * The library of the echo NIC: what a user program calls. It knows the character device and nothing below it.
 * All calls answer 0 or more, or -errno; they may sleep.
 */
import type { Task, UserProgram } from '@pincushion/driver';

/** The commands of the character device; each takes `{ start, length }`, in bytes. */
export const EchoIoctl = { send: 1, receive: 2, register: 3, deregister: 4 } as const;

export class EchoSocket {
  private constructor(
    private readonly program: UserProgram,
    private readonly fd: number,
  ) {}

  /** Opens the device: a socket, or -errno. */
  static *open(program: UserProgram, path = '/dev/echo0'): Task<EchoSocket | number> {
    const fd = yield* program.open(path);
    return fd < 0 ? fd : new EchoSocket(program, fd);
  }

  /** Registers memory as the buffer of this socket: its pages stay pinned until `deregister` or `close`. */
  register(address: number, length: number): Task<number> {
    return this.call(EchoIoctl.register, address, length);
  }

  /** Gives the buffer back, once nothing of it is in flight. */
  deregister(): Task<number> {
    return this.call(EchoIoctl.deregister, 0, 0);
  }

  /** Sends `length` bytes of the buffer, from `offset`: how many. */
  send(offset: number, length: number): Task<number> {
    return this.call(EchoIoctl.send, offset, length);
  }

  /** Receives the oldest packet into the buffer, at `offset`, at most `length` bytes: its length, 0 without one. */
  receive(offset: number, length: number): Task<number> {
    return this.call(EchoIoctl.receive, offset, length);
  }

  /** Closes the device, and gives the buffer back. */
  close(): Task<number> {
    return this.program.close(this.fd);
  }

  private call(command: number, start: number, length: number): Task<number> {
    return this.program.ioctl(this.fd, command, { start, length });
  }
}
