/** A correct driver of a disk with one bio at a time, and planted bugs of its completions. */
import type { Bio, DeviceTimer, ExampleProgram, RemoveReason, Task } from '@pincushion/driver';
import {
  BioOp,
  BlkStatus,
  BlockDisks,
  DeviceWork,
  Disk,
  DmaDirection,
  DmaMapper,
  Driver,
  ENOMEM,
  HardwareQueue,
  Interrupts,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  Registers,
  bioEndIo,
  driver,
} from '@pincushion/driver';
import { Command, Config, MATCH, Register } from './port';

const api = 1;
const match = MATCH;
const config = Config;
const LENGTH = 2 * 4096;
const TIMEOUT_NS = 1_000_000_000;

class PortDisk extends Disk {
  constructor(
    name: string,
    private readonly owner: DiskDriver,
  ) {
    super(name, 1024, { logicalBlockBytes: 512, maxBytes: 16384, maxPages: 5 });
  }

  override queueBio(bio: Bio): undefined {
    this.owner.submit(bio);
  }
}

@driver({ name: 'disk', api, match, config })
export class DiskDriver extends Driver<typeof Config> {
  protected readonly queue = new HardwareQueue(1);
  protected timeout!: DeviceTimer;

  constructor(
    protected readonly dma: DmaMapper,
    protected readonly registers: Registers,
    private readonly interrupts: Interrupts,
    private readonly disks: BlockDisks,
    private readonly work: DeviceWork,
  ) {
    super();
  }

  override *probe(): Task {
    this.timeout = this.own(
      this.work.timer('timeout', () => {
        this.complete(BlkStatus.timeout);
      }),
    );
    const done = (): undefined => {
      this.complete(this.registers.read32(Register.status) === 0xffffffff ? BlkStatus.ioerr : BlkStatus.ok);
    };
    this.own(this.interrupts.request(0, 'done', done));
    this.own(this.disks.register(new PortDisk(`${this.device.name}n1`, this)));
  }

  submit(bio: Bio): void {
    if (this.queue.take(bio) >= 0) this.start(bio);
  }

  protected start(bio: Bio): void {
    if (this.device.unplugged || bio.pageCount === 0) {
      this.finish(this.device.unplugged ? BlkStatus.offline : BlkStatus.ok);
      return;
    }
    bio.iova = this.dma.mapPages(bio.pages, 0, bio.pageCount, bio.firstOffset, bio.bytes, directionOf(bio));
    if (bio.iova < 0) {
      this.refuse(bio);
      return;
    }
    this.registers.write64lohi(Register.address, bio.iova);
    this.registers.write32(Register.length, bio.bytes);
    this.timeout.start(TIMEOUT_NS);
    this.registers.write32(Register.doorbell, bio.op === BioOp.read ? Command.write : Command.read);
  }

  protected refuse(_bio: Bio): void {
    this.finish(BlkStatus.resource);
  }

  protected complete(status: number): undefined {
    const bio = this.queue.bioOf(0);
    if (bio === null) return;
    this.registers.write32(Register.doorbell, Command.stop);
    this.timeout.cancel();
    this.dma.unmapPages(bio.iova, bio.bytes, directionOf(bio));
    this.finish(status);
  }

  protected finish(status: number): void {
    const bio = this.queue.bioOf(0);
    if (bio === null) return;
    const next = this.queue.release(0);
    if (next !== null) this.submit(next);
    bioEndIo(bio, status);
  }

  override *remove(_why: RemoveReason): Task {
    this.queue.drain(BlkStatus.offline);
    this.complete(BlkStatus.offline);
  }
}

function directionOf(bio: Bio): number {
  return bio.op === BioOp.read ? DmaDirection.fromDevice : DmaDirection.toDevice;
}

export const diskExample: ExampleProgram = function* (program, device) {
  const mapped = program.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  if (address < 0) return -ENOMEM;
  const fd = yield* program.open(`/dev/${device}n1`);
  if (fd < 0) return fd;
  let n = yield* program.pwrite(fd, address, LENGTH, 0);
  if (n >= 0) n = yield* program.pread(fd, address, LENGTH, 4096);
  const closed = yield* program.close(fd);
  return n < 0 ? n : closed;
};

@driver({ name: 'ends-twice', api, match, config })
export class EndsTwice extends DiskDriver {
  private last: Bio | null = null;

  protected override complete(status: number): undefined {
    const bio = this.queue.bioOf(0);
    if (bio === null && this.last !== null) bioEndIo(this.last, status);
    this.last = bio;
    super.complete(status);
  }
}

@driver({ name: 'forgets-bios', api, match, config })
export class ForgetsBios extends DiskDriver {
  protected override refuse(): void {
    // The bug: nobody ends it.
  }
}

@driver({ name: 'abandons-bios', api, match, config })
export class AbandonsBios extends DiskDriver {
  override *remove(): Task {
    this.timeout.cancel();
  }
}
