/**
 * A disk for tests, by the public contract only: hardware with one command at a time and real content, and its driver.
 *
 * Registers: address (64 bits), sector, sectors, doorbell. The interrupt says that the command is done.
 */
import type { Bio, Task } from '@pincushion/driver';
import {
  BioOp,
  BlkStatus,
  BlockDisks,
  CharDevices,
  DeviceModel,
  Disk,
  DmaDirection,
  DmaMapper,
  Driver,
  EACCES,
  EREMOTEIO,
  ENOMEM,
  HardwareQueue,
  Interrupts,
  PROT_WRITE,
  Registers,
  bioEndIo,
  definePlugin,
  driver,
  hardware,
} from '@pincushion/driver';
import { z } from 'zod';

export const Model = z.strictObject({ sectors: z.int().min(8).default(64), latencyNs: z.int().default(5000) });
const Config = z.strictObject({
  lbaBytes: z.union([z.literal(512), z.literal(4096)]).default(512),
  /** Whether bios may have memory of other devices in them. */
  peers: z.boolean().default(false),
});

@hardware({ name: 'ram-disk', vendor: 0x1234, device: 0x0002, bars: [{ bytes: 64 }], vectors: 1, config: Model })
export class RamDiskHardware extends DeviceModel<z.output<typeof Model>> {
  content = new Uint8Array(0);
  private readonly registers = new Uint32Array(16);

  override powerOn(): void {
    this.content = new Uint8Array(this.config.sectors * 512);
  }

  override mmioRead(_bar: number, offset: number): number {
    return offset === 20 ? this.config.sectors : this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    this.registers[offset >> 2] = value;
    if (offset === 16)
      this.after(this.config.latencyNs, () => {
        this.move(value);
      });
  }

  private move(op: number): void {
    const [low, high, sector, sectors] = this.registers;
    const iova = low + high * 0x1_0000_0000;
    let errno = 0;
    if (op === BioOp.read) errno = this.dmaWrite(iova, this.content, sector * 512, sectors * 512);
    if (op === BioOp.write) errno = this.dmaRead(iova, this.content, sector * 512, sectors * 512);
    this.registers[6] = errno === 0 ? 0 : 1;
    this.raise(0);
  }
}

class RamDisk extends Disk {
  constructor(
    name: string,
    sectors: number,
    lbaBytes: number,
    private readonly owner: RamDiskDriver,
    pciP2pdma: boolean,
  ) {
    super(name, sectors, { logicalBlockBytes: lbaBytes, maxBytes: 16384, maxPages: 5, pciP2pdma });
  }

  override queueBio(bio: Bio): undefined {
    this.owner.submit(bio);
  }
}

@driver({ name: 'ram-disk', api: 1, match: [{ vendor: 0x1234, device: 0x0002 }], config: Config })
export class RamDiskDriver extends Driver<typeof Config> {
  private readonly queue = new HardwareQueue(1);
  /** Who made ioctls on each open of the info device, in the order of the last closes. */
  readonly lastClosed: string[][] = [];

  constructor(
    private readonly dma: DmaMapper,
    private readonly registers: Registers,
    private readonly interrupts: Interrupts,
    private readonly disks: BlockDisks,
    private readonly chars: CharDevices,
  ) {
    super();
  }

  override *probe(): Task {
    this.own(
      this.interrupts.request(0, 'done', () => {
        this.complete(this.registers.read32(24) === 0 ? BlkStatus.ok : BlkStatus.ioerr);
      }),
    );
    const info = this.dma.coherent(4096, 'info page');
    if (info === null) throw new Error('no memory');
    this.own(info).bytes.set(new TextEncoder().encode('ram-disk'));
    const { name } = this.device;
    const { lastClosed } = this;
    const sectors = this.registers.read32(20);
    this.own(this.disks.register(new RamDisk(`${name}n1`, sectors, this.config.lbaBytes, this, this.config.peers)));
    this.own(
      this.chars.register(`${name}-info`, {
        open: (file) => (file.process === 'nobody' ? -ENOMEM : 0),
        *ioctl(file, command): Task<number> {
          const before = (file.state as string[] | null) ?? [];
          file.state = [...before, `${file.process} in ${file.mm.name}`];
          return command;
        },
        *release(file) {
          if (file.state !== null) lastClosed.push(file.state as string[]);
        },
        mmap: (_file, { prot }) => ((prot & PROT_WRITE) !== 0 ? -EACCES : this.dma.mmapCoherent(info)),
      }),
    );
  }

  submit(bio: Bio): void {
    if (this.queue.take(bio) >= 0) this.start(bio);
  }

  private start(bio: Bio): void {
    const direction = bio.op === BioOp.read ? DmaDirection.fromDevice : DmaDirection.toDevice;
    bio.iova =
      bio.pageCount === 0 ? 0 : this.dma.mapPages(bio.pages, 0, bio.pageCount, bio.firstOffset, bio.bytes, direction);
    if (bio.iova < 0) {
      this.complete(bio.iova === -EREMOTEIO ? BlkStatus.target : BlkStatus.ioerr);
      return;
    }
    this.registers.write64lohi(0, bio.iova);
    this.registers.write32(8, bio.sector);
    this.registers.write32(12, bio.pageCount === 0 ? 0 : bio.sectors);
    this.registers.write32(16, bio.op);
  }

  private complete(status: number): void {
    const bio = this.queue.bioOf(0);
    if (bio === null) return;
    const next = this.queue.release(0);
    if (next !== null) this.submit(next);
    const direction = bio.op === BioOp.read ? DmaDirection.fromDevice : DmaDirection.toDevice;
    if (bio.pageCount > 0 && bio.iova >= 0) this.dma.unmapPages(bio.iova, bio.bytes, direction);
    bioEndIo(bio, status);
  }

  override *remove(): Task {
    this.queue.drain(BlkStatus.offline);
    this.complete(BlkStatus.offline);
  }
}

export const plugin = definePlugin({ name: 'ram', api: 1, drivers: [RamDiskDriver], hardware: [RamDiskHardware] });
