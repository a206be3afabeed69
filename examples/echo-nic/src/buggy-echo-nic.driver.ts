/**
 * The echo NIC driver with a bug that real drivers have had: it gives a buffer back without waiting for the hardware,
 * and unpins it before it unmaps it. Nothing fails; whoever gets the pages next finds the device's data in them.
 */
import type { CharFile, MappedRange, Task } from '@pincushion/driver';
import { driver } from '@pincushion/driver';
import { z } from 'zod';
import { EchoNic } from './echo-nic.driver';

const Config = z.strictObject({ node: z.string().default('echo0') });

@driver({ name: 'buggy-echo-nic', api: 1, match: [{ vendor: 0x1af4, device: 0x10e1 }], config: Config })
export class BuggyEchoNic extends EchoNic {
  override *release(file: CharFile): Task<number> {
    const buffer = file.state as MappedRange | null;
    if (buffer === null) return 0;
    yield* this.giveBack(buffer.pinned); // the bug: the hardware still writes to it, through a live mapping
    yield* this.idle();
    yield* this.giveBack(buffer);
    file.state = null;
    return 0;
  }
}
