/**
 * The library of my-device: what a user program calls. It knows the character device and nothing below it.
 * All calls answer 0 or more, or -errno; they may sleep.
 */
import type { Task, UserProgram } from '@pincushion/driver';

/** The commands of the character device. */
export const MyDeviceIoctl = { create: 1, destroy: 2, submit: 3, wait: 4 } as const;

/** A buffer is made of whole pages of the program's own memory. */
export interface CreateRequest {
  readonly address: number;
  readonly length: number;
}

/** A job on buffers, by their handles; positions and lengths are in bytes. */
export interface Job {
  readonly operation: 'fill' | 'copy';
  readonly to: number;
  readonly toOffset: number;
  readonly length: number;
  /** For `copy`. */
  readonly from?: number;
  readonly fromOffset?: number;
  /** For `fill`. */
  readonly value?: number;
}

export class MyDeviceContext {
  private constructor(
    private readonly program: UserProgram,
    private readonly fd: number,
  ) {}

  /** Opens the device: a context, or -errno. */
  static *open(program: UserProgram, path = '/dev/my-device0'): Task<MyDeviceContext | number> {
    const fd = yield* program.open(path);
    return fd < 0 ? fd : new MyDeviceContext(program, fd);
  }

  /** Makes a buffer of the program's memory (userptr): its handle. The pages stay pinned until `destroy` or `close`. */
  create(address: number, length: number): Task<number> {
    const request: CreateRequest = { address, length };
    return this.program.ioctl(this.fd, MyDeviceIoctl.create, request);
  }

  /** Gives a buffer back, once no job uses it any more. */
  destroy(handle: number): Task<number> {
    return this.program.ioctl(this.fd, MyDeviceIoctl.destroy, handle);
  }

  /** Queues a job: its fence. Jobs are executed in the order of their fences. */
  submit(job: Job): Task<number> {
    return this.program.ioctl(this.fd, MyDeviceIoctl.submit, job);
  }

  /** Waits for a fence: 0, or what its job failed with. Results of the last sixteen jobs are remembered. */
  wait(fence: number): Task<number> {
    return this.program.ioctl(this.fd, MyDeviceIoctl.wait, fence);
  }

  /** Closes the device, and gives all buffers back. */
  close(): Task<number> {
    return this.program.close(this.fd);
  }
}
