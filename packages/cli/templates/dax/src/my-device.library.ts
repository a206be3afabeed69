/**
 * The library of my-device: what a user program calls. It knows the character device and nothing below it.
 * All calls answer 0 or more, or -errno; they may sleep.
 */
import type { Task, UserProgram } from '@pincushion/driver';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '@pincushion/driver';

/** The commands of the character device. */
export const MyDeviceIoctl = { size: 1, flush: 2 } as const;

/** What `flush` takes: a range of the device, bytes. */
export interface FlushRequest {
  readonly offset: number;
  readonly length: number;
}

export class MyDeviceMemory {
  private constructor(
    private readonly program: UserProgram,
    private readonly fd: number,
    /** Where the program sees the device. */
    readonly address: number,
    /** Bytes. */
    readonly size: number,
  ) {}

  /** Opens the device and maps all of it: an object, or -errno. */
  static *map(program: UserProgram, path = '/dev/my-device0'): Task<MyDeviceMemory | number> {
    const fd = yield* program.open(path);
    if (fd < 0) return fd;
    const size = yield* program.ioctl(fd, MyDeviceIoctl.size);
    let address = size;
    if (size >= 0) {
      const mapped = program.mmapFile(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED);
      address = typeof mapped === 'number' ? mapped : yield* mapped;
    }
    if (address >= 0) return new MyDeviceMemory(program, fd, address, size);
    yield* program.close(fd);
    return address;
  }

  /** Makes a range durable; what was stored before is there after a loss of power. */
  flush(offset: number, length: number): Task<number> {
    const request: FlushRequest = { offset, length };
    return this.program.ioctl(this.fd, MyDeviceIoctl.flush, request);
  }

  *unmap(): Task<number> {
    const unmapped = this.program.munmap(this.address, this.size);
    const n = typeof unmapped === 'number' ? unmapped : yield* unmapped;
    const closed = yield* this.program.close(this.fd);
    return n < 0 ? n : closed;
  }
}
