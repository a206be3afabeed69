/** Planted bugs of contexts, waiting and removal. Each class is the correct driver with one mistake. */
import type { Managed, Task, Transfer } from '@pincushion/driver';
import { EIO, driver } from '@pincushion/driver';
import { Command, Config, MATCH, Port, Register } from './port';

const api = 1;
const match = MATCH;
const config = Config;

/** Calls what makes a task, and does nothing with it. */
function forget(call: () => unknown): void {
  call();
}

@driver({ name: 'sleeps-in-interrupt', api, match, config })
export class SleepsInInterrupt extends Port {
  protected override transferDone(): undefined {
    forget(() => this.current?.ended());
    super.transferDone();
  }
}

@driver({ name: 'sleeps-in-timer', api, match, config })
export class SleepsInTimer extends Port {
  protected override stop(result: number): undefined {
    const before = this.current;
    super.stop(result);
    forget(() => before?.ended());
  }
}

@driver({ name: 'drops-a-task', api, match, config })
export class DropsATask extends Port {
  protected override *outcome(transfer: Transfer, length: number): Task<number> {
    forget(() => this.device.world.sleep(100)); // to let the hardware settle
    return yield* super.outcome(transfer, length);
  }
}

@driver({ name: 'waits-for-gone-hardware', api, match, config })
export class WaitsForGoneHardware extends Port {
  override *remove(): Task {
    this.watchdog.cancel();
    yield* this.idle();
  }
}

@driver({ name: 'trusts-interrupts', api, match, config })
export class TrustsInterrupts extends Port {
  protected override startWatchdog(): void {
    // The bug: who waits, waits for the interrupt and nothing else.
  }
}

@driver({ name: 'leaves-hardware-running', api, match, config })
export class LeavesHardwareRunning extends Port {
  override *remove(): Task {
    this.current?.done(-EIO);
    yield* this.idle();
  }
}

@driver({ name: 'forgets-a-transfer', api, match, config })
export class ForgetsATransfer extends Port {
  override *remove(): Task {
    this.registers.write32(Register.doorbell, 0);
  }
}

/** Does not hand over resources of one kind. */
abstract class Disowns extends Port {
  protected abstract readonly disowned: string;

  protected override own<R extends Managed>(resource: R): R {
    return resource.what.startsWith(this.disowned) ? resource : super.own(resource);
  }
}

@driver({ name: 'keeps-its-interrupt', api, match, config })
export class KeepsItsInterrupt extends Disowns {
  protected readonly disowned = 'interrupt';
}

@driver({ name: 'keeps-its-interrupt-when-probe-fails', api, match, config })
export class KeepsItsInterruptWhenProbeFails extends Port {
  override *probe(): Task {
    this.takeRing();
    this.watchdog = this.own(
      this.work.timer('watchdog', () => {
        this.stop(-EIO);
      }),
    );
    const interrupt = this.interrupts.request(0, 'done', () => {
      this.transferDone();
    });
    this.own(this.chars.register(this.device.name, this));
    this.own(interrupt); // the bug: too late, when the line before has thrown
  }
}

@driver({ name: 'uses-the-device-after-removal', api, match, config })
export class UsesTheDeviceAfterRemoval extends Port {
  protected override *outcome(transfer: Transfer, length: number): Task<number> {
    const moved = yield* super.outcome(transfer, length);
    // The bug: tries once more, whatever has become of the device and of the buffer.
    if (moved < 0) this.registers.write32(Register.doorbell, Command.write);
    return moved;
  }
}

@driver({ name: 'keeps-its-timer', api, match, config })
export class KeepsItsTimer extends Disowns {
  protected readonly disowned = 'timer';

  override *remove(): Task {
    this.stop(-EIO);
    this.startWatchdog();
    yield* this.idle();
  }
}

@driver({ name: 'keeps-its-listener', api, match, config })
export class KeepsItsListener extends Port {
  override *probe(): Task {
    this.device.world.trace.subscribe(() => undefined, ['dma:fault']);
    yield* super.probe();
  }
}

@driver({ name: 'waits-in-probe-for-ever', api, match, config })
export class WaitsInProbeForEver extends Port {
  override *probe(): Task {
    while (this.registers.read32(Register.status) !== 0) yield* this.device.world.sleep(1_000_000_000);
    yield* super.probe();
  }
}

@driver({ name: 'fails-in-remove', api, match, config })
export class FailsInRemove extends Port {
  override *remove(): Task {
    yield* super.remove('driver-unbind');
    throw new Error('cannot be removed');
  }
}

@driver({ name: 'fails-in-release', api, match, config })
export class FailsInRelease extends Port {
  override *probe(): Task {
    yield* super.probe();
    const release = (): undefined => {
      throw new Error('cannot be given back');
    };
    this.own({ what: 'licence', release });
  }
}

@driver({ name: 'indexes-by-status', api, match, config })
export class IndexesByStatus extends Port {
  private readonly history = [new Uint8Array(1), new Uint8Array(1)];

  protected override *outcome(transfer: Transfer): Task<number> {
    const moved = yield* transfer.ended();
    this.history[Math.floor(moved / 8193)][0]++;
    return moved;
  }
}

@driver({ name: 'answers-nonsense', api, match, config })
export class AnswersNonsense extends Port {
  protected override *outcome(transfer: Transfer): Task<number> {
    yield* transfer.ended();
    return -EIO;
  }
}

@driver({ name: 'polls-for-ever', api, match, config })
export class PollsForEver extends Port {
  protected override *outcome(transfer: Transfer, length: number): Task<number> {
    yield* transfer.ended();
    while (this.registers.read32(Register.status) === 0) yield* this.device.world.sleep(1000);
    return length;
  }
}
