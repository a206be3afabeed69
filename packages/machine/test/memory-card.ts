/** A device with memory in BAR 2 for tests, by the public contract only: its driver offers the memory to others. */
import type { PeerResource, Task } from '@pincushion/driver';
import { DeviceModel, Driver, PeerMemory, PincushionError, driver, hardware, parseSize } from '@pincushion/driver';
import { z } from 'zod';

const Model = z.strictObject({ memory: z.string().default('1MiB') });
type Model = z.output<typeof Model>;
const Config = z.strictObject({
  /** Whether others find the memory. */
  published: z.boolean().default(true),
});

@hardware({
  name: 'memory-card',
  vendor: 0x1234,
  device: 0x0003,
  bars: [{ bytes: 16 }, { bytes: 0 }, { bytes: ({ memory }: Model) => parseSize(memory) ?? 0, memory: true }],
  vectors: 0,
  config: Model,
})
export class MemoryCardHardware extends DeviceModel<Model> {
  override powerOn(): void {
    // Memory is as it is.
  }

  override mmioRead(): number {
    return 0x600d;
  }

  override mmioWrite(): void {
    // No register does anything.
  }

  /** A byte of its memory, as the device sees it. */
  byteAt(offset: number): number {
    const seen = new Uint8Array(1);
    this.barMemory(2)?.read(offset, seen, 0, 1);
    return seen[0];
  }

  fill(byte: number): void {
    const memory = this.barMemory(2);
    memory?.fill(0, byte, memory.bytes);
  }

  /** A DMA write of one byte. */
  poke(address: number, byte: number): number {
    return this.dmaFill(address, byte, 1);
  }
}

@driver({
  name: 'memory-card',
  api: 1,
  match: [{ vendor: 0x1234, device: 0x0003 }],
  config: Config,
  deps: [PeerMemory],
})
export class MemoryCard extends Driver<typeof Config> {
  resource: PeerResource | null = null;

  constructor(readonly peers: PeerMemory) {
    super();
  }

  override *probe(): Task {
    const resource = this.peers.add(2);
    if (typeof resource === 'number')
      throw new PincushionError('DEVICE_INVALID', 'no memory to offer', { errno: resource });
    this.resource = this.own(resource);
    resource.publish(this.config.published);
  }

  override *remove(): Task {
    // The memory is given back by the device.
  }
}
