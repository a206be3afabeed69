/** Planted bugs of locks. Each class is the correct driver with one mistake. */
import type { CharFile, PinnedRange, Task, Transfer } from '@pincushion/driver';
import { Mutex, SpinLock, driver } from '@pincushion/driver';
import { Config, MATCH, Port } from './port';

const api = 1;
const match = MATCH;
const config = Config;

/** One program at a time never waits here; two that meet do, for ever. */
@driver({ name: 'takes-locks-both-ways', api, match, config })
export class TakesLocksBothWays extends Port {
  private buffers!: Mutex;
  private hardware!: Mutex;

  override *probe(): Task {
    this.buffers = new Mutex(this.device.world, 'buffers');
    this.hardware = new Mutex(this.device.world, 'hardware');
    yield* super.probe();
  }

  protected override *map(file: CharFile, pinned: PinnedRange): Task<number> {
    yield* this.buffers.lock();
    yield* this.hardware.lock();
    const mapped = yield* super.map(file, pinned);
    this.hardware.unlock();
    this.buffers.unlock();
    return mapped;
  }

  override *release(file: CharFile): Task<number> {
    yield* this.hardware.lock();
    yield* this.buffers.lock();
    const released = yield* super.release(file);
    this.buffers.unlock();
    this.hardware.unlock();
    return released;
  }
}

@driver({ name: 'sleeps-with-a-spin-lock', api, match, config })
export class SleepsWithASpinLock extends Port {
  private lock!: SpinLock;

  override *probe(): Task {
    this.lock = new SpinLock(this.device.world, 'status');
    yield* super.probe();
  }

  protected override *outcome(transfer: Transfer, length: number): Task<number> {
    this.lock.lock();
    try {
      return yield* super.outcome(transfer, length);
    } finally {
      this.lock.unlock();
    }
  }
}
