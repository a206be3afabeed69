/**
 * Hardware that posts its completions with a tag, a correct driver of it, and planted bugs of completions. The tag is a
 * register that the driver writes with a command and that comes back with the completion of that command.
 */
import { driver, hardware } from '@pincushion/driver';
import { Config, MATCH, Port, PortHardware, Register } from './port';

const api = 1;
const match = MATCH;
const config = Config;
const TAG = 20;
const DONE_TAG = 24;

@hardware({ name: 'tagged-port', ...MATCH[0], bars: [{ bytes: 32 }], vectors: 1 })
export class TaggedPortHardware extends PortHardware {
  protected override ended(status: number): void {
    const tag = this.registers[TAG >> 2];
    const publish = (): undefined => {
      this.registers[Register.status >> 2] = status;
      this.registers[DONE_TAG >> 2] = tag;
      this.raise(0);
    };
    if (this.completionsWatched) this.completion(publish);
    else publish();
  }
}

@driver({ name: 'tagged-port', api, match, config })
export class TaggedPort extends Port {
  private tag = 0;

  protected override ring(iova: number, length: number, command: number): void {
    this.registers.write32(TAG, ++this.tag);
    super.ring(iova, length, command);
  }

  protected override transferDone(): undefined {
    if (this.registers.read32(DONE_TAG) === this.tag) super.transferDone();
  }
}

@driver({ name: 'ignores-tags', api, match, config })
export class IgnoresTags extends Port {}

@driver({ name: 'trusts-completions', api, match, config })
export class TrustsCompletions extends TaggedPort {
  protected override startWatchdog(): void {
    // The bug: who waits, waits for the completion and nothing else.
  }
}
