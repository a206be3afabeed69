/**
 * The library of my-device: what a user program calls. It knows the character device and nothing below it.
 * All calls answer 0 or more, or -errno; they may sleep.
 */
import type { Task, UserProgram } from '@pincushion/driver';

/** The commands of the character device. */
export const MyDeviceIoctl = { fill: 1 } as const;

/** What `fill` takes: where in the program's memory, how many bytes, and which byte. */
export interface FillRequest {
  readonly address: number;
  readonly length: number;
  readonly byte: number;
}

export class MyDevice {
  private constructor(
    private readonly program: UserProgram,
    private readonly fd: number,
  ) {}

  /** Opens the device: an object, or -errno. */
  static *open(program: UserProgram, path = '/dev/my-device0'): Task<MyDevice | number> {
    const fd = yield* program.open(path);
    return fd < 0 ? fd : new MyDevice(program, fd);
  }

  /** Lets the hardware fill memory with a byte: how many bytes. */
  fill(address: number, length: number, byte: number): Task<number> {
    const request: FillRequest = { address, length, byte };
    return this.program.ioctl(this.fd, MyDeviceIoctl.fill, request);
  }

  close(): Task<number> {
    return this.program.close(this.fd);
  }
}
