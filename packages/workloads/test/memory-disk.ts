/**
 * A small block device for the tests of this package, which can be told to misbehave: hardware with its own store, driver
 * and plugin. One command at a time is written to the registers; completions are read from a register in the interrupt.
 */
import type { Bio, Interrupt } from '@pincushion/driver';
import {
  BioOp,
  BlkStatus,
  BlockDisks,
  DeviceModel,
  Disk,
  DmaDirection,
  DmaMapper,
  Driver,
  HardwareQueue,
  Interrupts,
  Registers,
  bioEndIo,
  definePlugin,
  driver,
  hardware,
} from '@pincushion/driver';
import type { Task } from '@pincushion/driver';
import { Machine, parseMachine } from '@pincushion/machine';
import type { MachineInput } from '@pincushion/machine';
import { World } from '@pincushion/sim';
import { z } from 'zod';

const SECTOR = 512;
const REG = { tag: 0, iova: 8, sector: 16, sectors: 24, op: 28, done: 32 };
const TAGS = 64;

/** What goes wrong, for every I/O to the sectors below `badBelow`, from `badFromNs` to `badToNs`. */
const MISDEEDS = [
  'none',
  'lose-writes',
  'tear-writes',
  'shift-reads',
  'skip-reads',
  'fail',
  'forget',
  'keep-pins',
] as const;

const Model = z.strictObject({
  sectors: z.int().default(1 << 21),
  latencyNs: z.int().default(20_000),
  misdeed: z.enum(MISDEEDS).default('none'),
  badBelow: z.int().default(Number.MAX_SAFE_INTEGER),
  badFromNs: z.int().default(0),
  badToNs: z.int().default(Number.MAX_SAFE_INTEGER),
});

@hardware({ name: 'memory-disk', vendor: 0x1af4, device: 0x7777, bars: [{ bytes: 64 }], vectors: 1, config: Model })
class MemoryDiskHardware extends DeviceModel<z.output<typeof Model>> {
  private readonly store = new Map<number, Uint8Array>();
  private readonly registers = new Map<number, number>();
  private readonly finished: number[] = [];
  private jitter = (): number => 0;

  override powerOn(): void {
    const stream = this.stream('latency');
    this.jitter = () => stream.below(5000);
  }

  override mmioRead(_bar: number, offset: number): number {
    if (offset === REG.done) return this.finished.shift() ?? 0;
    return offset === REG.sectors ? this.config.sectors : 0;
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    this.registers.set(offset, value);
    if (offset !== REG.op) return;
    const get = (register: number): number => this.registers.get(register) ?? 0;
    const wide = (register: number): number => get(register) + get(register + 4) * 4294967296;
    const command = { tag: get(REG.tag), iova: wide(REG.iova), sector: wide(REG.sector), sectors: get(REG.sectors) };
    this.after(this.config.latencyNs + this.jitter(), () => {
      this.execute(value, command);
      return undefined;
    });
  }

  private execute(
    op: number,
    { tag, iova, sector, sectors }: { tag: number; iova: number; sector: number; sectors: number },
  ): void {
    const { badBelow, badFromNs, badToNs } = this.config;
    const isBad = sector < badBelow && this.now >= badFromNs && this.now < badToNs && op !== BioOp.flush;
    const misdeed = isBad ? this.config.misdeed : 'none';
    if (misdeed === 'forget') return;
    let status: number = misdeed === 'fail' ? BlkStatus.ioerr : BlkStatus.ok;
    for (let i = 0; i < sectors && status === BlkStatus.ok; i++) {
      const r = this.transfer(op, iova + i * SECTOR, sector + i, misdeed);
      if (r < 0) status = BlkStatus.ioerr;
    }
    this.finished.push((tag + 1) * 256 + status);
    this.raise(0);
  }

  private transfer(op: number, iova: number, sector: number, misdeed: (typeof MISDEEDS)[number]): number {
    if (op === BioOp.read) {
      if (misdeed === 'skip-reads') return 0;
      const from = this.store.get(misdeed === 'shift-reads' ? sector + 1 : sector);
      return from === undefined ? this.dmaFill(iova, 0, SECTOR) : this.dmaWrite(iova, from, 0, SECTOR);
    }
    if (op === BioOp.write) {
      const content = new Uint8Array(SECTOR);
      const before = this.store.get(sector);
      const r = this.dmaRead(iova, content, 0, SECTOR);
      if (misdeed === 'tear-writes' && before !== undefined) content.set(before.subarray(200), 200);
      if (misdeed !== 'lose-writes') this.store.set(sector, content);
      return r;
    }
    this.store.delete(sector);
    return 0;
  }
}

const Config = z.strictObject({ keepMapped: z.boolean().default(false) });

@driver({ name: 'memory-disk', api: 1, match: [{ vendor: 0x1af4, device: 0x7777 }], config: Config })
class MemoryDiskDriver extends Driver<typeof Config> {
  private readonly queue = new HardwareQueue(TAGS);
  private interrupt!: Interrupt;

  constructor(
    private readonly registers: Registers,
    private readonly dma: DmaMapper,
    private readonly interrupts: Interrupts,
    private readonly disks: BlockDisks,
  ) {
    super();
  }

  override *probe(): Task {
    this.interrupt = this.own(
      this.interrupts.request(0, 'memory-disk', () => {
        this.reap();
        return undefined;
      }),
    );
    this.own(this.disks.register(new MemoryDisk(`${this.device.name}n1`, this.registers.read32(REG.sectors), this)));
  }

  override *remove(): Task {
    this.interrupt.mask();
  }

  submit(bio: Bio): void {
    const tag = this.queue.take(bio);
    if (tag >= 0) this.start(bio, tag);
  }

  private start(bio: Bio, tag: number): void {
    const moves = bio.op === BioOp.read || bio.op === BioOp.write;
    const direction = bio.op === BioOp.read ? DmaDirection.fromDevice : DmaDirection.toDevice;
    if (moves) bio.iova = this.dma.mapPages(bio.pages, 0, bio.pageCount, bio.firstOffset, bio.bytes, direction);
    this.registers.write32(REG.tag, tag);
    this.registers.write64lohi(REG.iova, moves ? bio.iova : 0);
    this.registers.write64lohi(REG.sector, bio.sector);
    this.registers.write32(REG.sectors, bio.sectors);
    this.registers.write32(REG.op, bio.op);
  }

  private reap(): void {
    for (let done = this.registers.read32(REG.done); done !== 0; done = this.registers.read32(REG.done)) {
      const tag = Math.floor(done / 256) - 1;
      const bio = this.queue.bioOf(tag);
      const next = this.queue.release(tag);
      if (next !== null) this.submit(next);
      if (bio === null) continue;
      const direction = bio.op === BioOp.read ? DmaDirection.fromDevice : DmaDirection.toDevice;
      const mapped = bio.op === BioOp.read || bio.op === BioOp.write;
      if (mapped && !this.config.keepMapped) this.dma.unmapPages(bio.iova, bio.bytes, direction);
      bioEndIo(bio, done % 256);
    }
  }
}

class MemoryDisk extends Disk {
  constructor(
    name: string,
    sectors: number,
    private readonly owner: MemoryDiskDriver,
  ) {
    super(name, sectors, { logicalBlockBytes: 512, maxBytes: 65536, maxPages: 17 });
  }

  override queueBio(bio: Bio): undefined {
    this.owner.submit(bio);
    return undefined;
  }
}

const memoryDiskPlugin = definePlugin({
  name: 'memory-disk',
  api: 1,
  drivers: [MemoryDiskDriver],
  hardware: [MemoryDiskHardware],
});

export interface TestMachineOptions {
  readonly seed?: number;
  readonly model?: z.input<typeof Model>;
  readonly config?: z.input<typeof Config>;
  readonly machine?: MachineInput;
}

/** A machine of 256 MiB and two CPUs with one memory disk, `disk0n1`. */
export function bootMachine(options: TestMachineOptions = {}): Machine {
  const world = new World({ seed: options.seed ?? 1 });
  const description = parseMachine(
    {
      memory: { ram: '256MiB' },
      cpus: 2,
      devices: [{ name: 'disk0', plugin: 'memory-disk', model: options.model ?? {}, config: options.config ?? {} }],
      ...options.machine,
    },
    'test',
  );
  return world.complete(Machine.boot(world, description, { plugins: [memoryDiskPlugin] }));
}
