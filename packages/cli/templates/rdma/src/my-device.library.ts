/**
 * The library of my-device, after the verbs of RDMA: what a user program calls. It knows the character device and nothing below
 * it. All calls answer 0 or more, or -errno; they may sleep.
 *
 * Completions lie in memory that the program has mapped, so `poll` makes no system call.
 */
import type { Task, UserProgram } from '@pincushion/driver';
import { EOVERFLOW, MAP_SHARED, PROT_READ } from '@pincushion/driver';
import { COMPLETION_ENTRIES, COMPLETION_WORDS } from './queue-pair-state';

/** The commands of the character device. */
export const MyDeviceIoctl = { register: 1, deregister: 2, post: 3, wait: 4 } as const;

export interface RegisterRequest {
  readonly address: number;
  readonly length: number;
  /** `Access` bits. */
  readonly access: number;
}

/** Moves bytes between a local and a remote region; offsets are from the beginnings of the regions. */
export interface WorkRequest {
  /** Comes back in the completion; 32 bits. */
  readonly id: number;
  /** `write`: from local to remote. `read`: from remote to local. */
  readonly operation: 'write' | 'read';
  readonly localKey: number;
  readonly localOffset: number;
  readonly remoteKey: number;
  readonly remoteOffset: number;
  readonly length: number;
}

export interface Completion {
  readonly id: number;
  /** `Status` of the hardware; 0 is success. */
  readonly status: number;
  /** How many were moved. */
  readonly bytes: number;
}

const QUEUE_BYTES = COMPLETION_ENTRIES * COMPLETION_WORDS * 4;

export class MyDeviceContext {
  /** Completions that `poll` has taken. */
  private seen = 0;

  private constructor(
    private readonly program: UserProgram,
    private readonly fd: number,
    private readonly completions: number,
  ) {}

  /** Opens the device, with a queue pair of its own: a context, or -errno. */
  static *open(program: UserProgram, path = '/dev/my-device0'): Task<MyDeviceContext | number> {
    const fd = yield* program.open(path);
    if (fd < 0) return fd;
    const mapped = program.mmapFile(fd, QUEUE_BYTES, PROT_READ, MAP_SHARED);
    const completions = typeof mapped === 'number' ? mapped : yield* mapped;
    if (completions >= 0) return new MyDeviceContext(program, fd, completions);
    yield* program.close(fd);
    return completions;
  }

  /** Registers memory: its key. The pages stay pinned until `deregister` or `close`. */
  register(address: number, length: number, access: number): Task<number> {
    const request: RegisterRequest = { address, length, access };
    return this.program.ioctl(this.fd, MyDeviceIoctl.register, request);
  }

  /** Takes a region back. Requests that still use it end with an error. */
  deregister(key: number): Task<number> {
    return this.program.ioctl(this.fd, MyDeviceIoctl.deregister, key);
  }

  /** Posts a work request; it is done when its completion is there. Requests of one context end in their order. */
  post(request: WorkRequest): Task<number> {
    return this.program.ioctl(this.fd, MyDeviceIoctl.post, request);
  }

  /** The next completion, or null; -EOVERFLOW when so many came unread that it has been overwritten. */
  *poll(): Task<Completion | number | null> {
    const at = this.completions + (this.seen % COMPLETION_ENTRIES) * COMPLETION_WORDS * 4;
    const bytes = new Uint8Array(COMPLETION_WORDS * 4);
    const loaded = this.program.read(at, bytes);
    const n = typeof loaded === 'number' ? loaded : yield* loaded;
    if (n < 0) return n;
    const view = new DataView(bytes.buffer);
    const sequence = view.getInt32(12, true);
    if (sequence > this.seen + 1) return -EOVERFLOW;
    if (sequence !== this.seen + 1) return null;
    this.seen++;
    return { id: view.getInt32(0, true), status: view.getInt32(4, true), bytes: view.getInt32(8, true) };
  }

  /** The next completion; sleeps until there is one. -EAGAIN when none is to come. */
  *next(): Task<Completion | number> {
    for (;;) {
      const polled = yield* this.poll();
      if (polled !== null) return polled;
      const waited = yield* this.program.ioctl(this.fd, MyDeviceIoctl.wait, this.seen);
      if (waited < 0) return waited;
    }
  }

  /** Closes the device: the queue pair stops, and all regions are given back. */
  *close(): Task<number> {
    const unmapped = this.program.munmap(this.completions, QUEUE_BYTES);
    if (typeof unmapped !== 'number') yield* unmapped;
    return yield* this.program.close(this.fd);
  }
}
