/** The library of the frame grabber: what a program calls. Calls answer 0 or more, or -errno; they may sleep. */
import type { Task, UserProgram } from '@pincushion/driver';

/** The command of the character device. */
export const GRAB = 1;

export interface GrabArguments {
  /** Memory of the caller, bytes. */
  readonly address: number;
  readonly length: number;
  /** Which frame, from 1. */
  readonly frame: number;
}

export class FrameGrabber {
  private constructor(
    private readonly program: UserProgram,
    private readonly fd: number,
  ) {}

  /** Opens the device, or -errno. */
  static *open(program: UserProgram, path = '/dev/grabber0'): Task<FrameGrabber | number> {
    const fd = yield* program.open(path);
    return fd < 0 ? fd : new FrameGrabber(program, fd);
  }

  /** Takes frame `frame` into memory and returns when it is there: bytes. */
  grab(address: number, length: number, frame: number): Task<number> {
    return this.program.ioctl(this.fd, GRAB, { address, length, frame } satisfies GrabArguments);
  }

  close(): Task<number> {
    return this.program.close(this.fd);
  }
}
