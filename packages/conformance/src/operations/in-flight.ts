/**
 * `dmain`, `dmaout`, `dmaend`: a transfer that stays in flight, its pages pinned for a short time that lasts.
 *
 * It stands for a read or write of a FUSE file opened for direct I/O, issued through an io_uring of its own. What can be
 * pinned of the range is transferred, up to the pages of one request; only after a full request the kernel asks for more
 * at the end, and gives up. A short one ends the transfer, even if the rest could be pinned by then.
 * Source followed: fs/fuse/file.c `fuse_direct_io`, `fuse_get_user_pages`, `fuse_release_user_pages` (6.18).
 */
import { EFAULT, errnoName } from '@pincushion/sim';
import { FOLL_WRITE, frameOf, ioAccountMem, ioUnaccountMem, newPinnedPages } from '@pincushion/mm';
import type { Mm, PinnedPages, UserAccount } from '@pincushion/mm';
import type { ObservedHold } from '../observer';
import { PAGE, RING_PAGES } from '../operation';
import type { Operation } from '../operation';
import type { Charge, Opened, ScenarioMachine } from '../scenario-machine';

/** Pages of one FUSE request (`max_pages`). */
const PAGES_PER_REQUEST = 32;

class InFlightTransfer implements Opened, ObservedHold {
  private pins: PinnedPages = newPinnedPages(0);
  private inFlight = 0;
  live = false;
  frames: readonly number[] = [];
  private readonly account: UserAccount | null;

  constructor(
    private readonly machine: ScenarioMachine,
    private readonly mm: Mm,
    private readonly address: number,
    private readonly pages: number,
    /** The device writes memory. */
    private readonly isInto: boolean,
  ) {
    this.account = mm.user.capIpcLock ? null : mm.user;
  }

  /** The ring: 0 or -ENOMEM. */
  setUp(): number {
    return ioAccountMem(this.account, null, RING_PAGES);
  }

  /** Pins what it can and sends the request: 0 or -errno. */
  start(): number {
    const got = this.pinFrom(0);
    if (got <= 0) return got === 0 ? -EFAULT : got;
    this.inFlight = got;
    this.live = true;
    return 0;
  }

  private pinFrom(page: number): number {
    const { gup, ledger } = this.machine.memory;
    const wanted = Math.min(this.pages - page, PAGES_PER_REQUEST);
    this.pins = newPinnedPages(wanted);
    const flags = this.isInto ? FOLL_WRITE : 0;
    const owner = ledger.owner('transfer');
    let got = 0;
    while (got < wanted) {
      const at = this.address + (page + got) * PAGE;
      const more = this.machine.settle(gup.pinUserPagesFast(this.mm, at, wanted - got, flags, this.pins, got, owner));
      if (more <= 0) return got > 0 ? got : more;
      got += more;
    }
    return got;
  }

  /** The first byte that the device reads. */
  firstByte(): number {
    const byte = new Uint8Array(1);
    this.machine.memory.bytes.read(frameOf(this.pins[0]), 0, byte, 0, 1);
    return byte[0];
  }

  /** The device is done: pages moved. The ring stays: its memory is still mapped. */
  finish(byte: number): number {
    const { memory } = this.machine;
    const moved = this.inFlight;
    if (this.isInto) for (let k = 0; k < moved; k++) memory.bytes.fill(frameOf(this.pins[k]), 0, byte & 255, PAGE);
    this.machine.settle(memory.gup.unpinUserPagesDirtyLock(this.pins, 0, moved, this.isInto));
    if (moved === PAGES_PER_REQUEST && moved < this.pages) {
      const more = this.pinFrom(moved);
      if (more > 0) memory.gup.unpinUserPages(this.pins, 0, more);
    }
    this.inFlight = 0;
    this.live = false;
    return moved;
  }

  get charge(): Charge {
    return { user: this.account?.user ?? null, userPages: RING_PAGES, mm: this.mm, mmPages: 0 };
  }

  /** What is in flight stays so, and its pages pinned, until it is answered: `io_ring_exit_work` waits for it. */
  close(): void {
    ioUnaccountMem(this.account, null, RING_PAGES);
  }
}

function begin(isInto: boolean): Operation {
  return (machine, by, call) => {
    const pages = Math.max(1, call.number('n', 0));
    const transfer = new InFlightTransfer(machine, by.mm, call.address, pages, isInto);
    const noRing = transfer.setUp();
    if (noRing !== 0) return { res: errnoName(noRing) };
    by.opened.add(transfer);
    machine.keep('transfer', call.text('id'), transfer);
    const error = transfer.start();
    if (error !== 0) return { res: errnoName(error) };
    const outcome = isInto ? { res: 'ok' } : { res: transfer.firstByte() };
    transfer.frames = machine.framesAt(by.mm, call.address, pages);
    machine.holds.push(transfer);
    return outcome;
  };
}

export const inFlightOperations: Readonly<Record<string, Operation>> = {
  dmain: begin(true),
  dmaout: begin(false),
  dmaend: (machine, _by, call) => {
    const transfer = machine.find('transfer', call.text('id'));
    if (!(transfer instanceof InFlightTransfer) || !transfer.live) return { res: 'ENOENT' };
    return { res: transfer.finish(call.number('v', 0)) };
  },
};
