/**
 * `pin`, `unpin`, `devw`, `devr`: a buffer registered with an io_uring, and a device that goes straight to its frames.
 *
 * Each buffer has a ring of its own. The ring's memory (2 pages) and the pages of the buffer are charged to the user, the
 * latter to `mm->pinned_vm` too; without limit for those with CAP_IPC_LOCK. A buffer in whole huge folios keeps one pin
 * per folio and is charged for all of each.
 * Source followed: io_uring/rsrc.c `io_sqe_buffer_register`, `io_buffer_account_pin`, `io_check_coalesce_buffer`,
 * io_uring/memmap.c `io_pin_pages`, `io_create_region` (6.18).
 */
import { EFAULT, ENXIO, errnoName } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  PG_head,
  frameOf,
  ioAccountMem,
  ioUnaccountMem,
  newPinnedPages,
} from '@pincushion/mm';
import type { Mm, PinnedPages, UserAccount } from '@pincushion/mm';
import type { ObservedHold } from '../observer';
import { PAGE, RING_PAGES } from '../operation';
import type { Operation } from '../operation';
import type { Charge, Opened, ScenarioMachine } from '../scenario-machine';

const BUFFER_BYTES_MOST = 2 ** 30;

/** An io_uring with at most one registered buffer. */
class RegisteredBuffer implements Opened, ObservedHold {
  /** The pages it was given, and which entries of them it still holds: all, or one for each folio when they were joined. */
  private pins: PinnedPages | null = null;
  private held: readonly number[] = [];
  /** The frame behind each page of the buffer. */
  private pages: readonly number[] = [];
  private accountedPages = 0;
  /** Whom the ring was made by; null with CAP_IPC_LOCK: then nobody is charged. */
  private readonly account: UserAccount | null;
  live = false;
  /** Frames for the observer, which looks as the process does. */
  frames: readonly number[] = [];

  /** `address` rounded down to its page is where the device counts pages from. */
  constructor(
    private readonly machine: ScenarioMachine,
    private readonly mm: Mm,
    readonly address: number,
    private readonly bytes: number,
  ) {
    this.account = mm.user.capIpcLock ? null : mm.user;
  }

  /** `io_uring_setup`: 0 or -ENOMEM. */
  setUp(): number {
    return ioAccountMem(this.account, null, RING_PAGES);
  }

  /** `IORING_REGISTER_BUFFERS` with this one buffer: 0 or -errno. */
  register(): number {
    const { address, bytes, mm } = this;
    if (bytes === 0 || bytes > BUFFER_BYTES_MOST) return -EFAULT;
    const first = Math.floor(address / PAGE);
    const count = Math.ceil((address + bytes) / PAGE) - first;
    const { gup, ledger } = this.machine.memory;
    const pins = newPinnedPages(count);
    const owner = ledger.owner('ring');
    const flags = FOLL_WRITE | FOLL_LONGTERM;
    const got = this.machine.settle(gup.pinUserPagesFast(mm, first * PAGE, count, flags, pins, 0, owner));
    if (got !== count) {
      if (got > 0) gup.unpinUserPages(pins, 0, got);
      return got < 0 ? got : -EFAULT;
    }
    this.pages = Array.from(pins, frameOf);
    this.held = this.join(pins);
    const accounted = this.pagesToAccount(pins);
    const error = ioAccountMem(this.account, mm, accounted);
    if (error !== 0) {
      this.release(pins);
      return error;
    }
    this.accountedPages = accounted;
    this.pins = pins;
    this.live = true;
    return 0;
  }

  /** Gives back what is still held, in as few calls as it lies together. */
  private release(pins: PinnedPages): void {
    const { gup } = this.machine.memory;
    if (this.held.length === pins.length) gup.unpinUserPages(pins, 0, pins.length);
    else for (const at of this.held) gup.unpinUserPages(pins, at, 1);
    this.held = [];
  }

  /** `IORING_UNREGISTER_BUFFERS`: 0 or -ENXIO. Marks nothing dirty. */
  unregister(): number {
    const { pins } = this;
    if (pins === null) return -ENXIO;
    this.release(pins);
    this.pins = null;
    this.live = false;
    ioUnaccountMem(this.account, this.mm, this.accountedPages);
    this.accountedPages = 0;
    return 0;
  }

  get charge(): Charge {
    const { account, mm, accountedPages } = this;
    return { user: account?.user ?? null, userPages: RING_PAGES + accountedPages, mm, mmPages: accountedPages };
  }

  close(): void {
    if (this.pins !== null) this.unregister();
    ioUnaccountMem(this.account, null, RING_PAGES);
  }

  /** The frame behind page `p` if all of the page lies in the buffer, else -EFAULT (`io_import_fixed`). */
  page(p: number): number {
    const start = Math.floor(this.address / PAGE) * PAGE + p * PAGE;
    if (this.pins === null || start < this.address || start + PAGE > this.address + this.bytes) return -EFAULT;
    return this.pages[p];
  }

  /** `io_coalesce_buffer`: whole folios, and parts of one at both ends, keep one pin each. The entries that are kept. */
  private join(pins: PinnedPages): readonly number[] {
    const runs = foliosOf(this.machine, this.pages);
    const all = Array.from(pins, (_pin, at) => at);
    if (pins.length < 2 || runs === null || runs.every((run) => run.pages === 1)) return all;
    if (!this.isLarge(this.pages[0])) return all;
    const { gup } = this.machine.memory;
    for (const run of runs) if (run.pages > 1) gup.unpinUserPages(pins, run.at + 1, run.pages - 1);
    return runs.map((run) => run.at);
  }

  /** `io_buffer_account_pin`: a large folio counts with all its pages, once. */
  private pagesToAccount(pins: PinnedPages): number {
    const { frames } = this.machine.memory;
    const seen = new Set<number>();
    let pages = 0;
    for (const at of this.held) {
      const head = frames.headOf(frameOf(pins[at]));
      if (!this.isLarge(head)) pages++;
      else if (!seen.has(head)) pages += 2 ** frames.order[head];
      if (this.isLarge(head)) seen.add(head);
    }
    return pages;
  }

  private isLarge(pfn: number): boolean {
    const { frames } = this.machine.memory;
    return (frames.flags[frames.headOf(pfn)] & PG_head) !== 0;
  }
}

/**
 * Runs of pages that belong to one folio each, or null when they do not fill their folios except at both ends
 * (`io_check_coalesce_buffer`).
 */
function foliosOf(machine: ScenarioMachine, pages: readonly number[]): { at: number; pages: number }[] | null {
  const { frames } = machine.memory;
  const first = frames.headOf(pages[0]);
  const size = 2 ** frames.order[first];
  const runs = [{ at: 0, pages: 1 }];
  for (let i = 1; i < pages.length; i++) {
    const run = runs[runs.length - 1];
    const head = frames.headOf(pages[i]);
    if (head === frames.headOf(pages[i - 1]) && pages[i] === pages[i - 1] + 1) {
      run.pages++;
      continue;
    }
    if (runs.length === 1 ? pages[i - 1] !== first + size - 1 : run.pages !== size) return null;
    if (2 ** frames.order[head] !== size || pages[i] !== head) return null;
    runs.push({ at: i, pages: 1 });
  }
  return runs;
}

function bufferNamed(machine: ScenarioMachine, id: string): RegisteredBuffer | null {
  const found = machine.find('pin', id);
  return found instanceof RegisteredBuffer ? found : null;
}

const pin: Operation = (machine, by, call) => {
  const address = call.address + (call.has('bytes') ? call.number('boff', 0) : 0);
  const bytes = call.has('bytes') ? call.number('bytes', 0) : call.length;
  const buffer = new RegisteredBuffer(machine, by.mm, address, bytes);
  const noRing = buffer.setUp();
  if (noRing !== 0) return { res: errnoName(noRing), x: 'setup' };
  // The recorder maps the ring's memory and never unmaps it: the ring lives, and is charged, as long as the process.
  by.opened.add(buffer);
  const error = buffer.register();
  if (error !== 0) return { res: errnoName(error) };
  buffer.frames = machine.framesAt(by.mm, call.address, Math.min(Math.floor(call.length / PAGE), 1024));
  machine.keep('pin', call.text('id'), buffer);
  machine.holds.push(buffer);
  return { res: 'ok' };
};

export const registeredBufferOperations: Readonly<Record<string, Operation>> = {
  pin,
  unpin: (machine, _by, call) => {
    const buffer = bufferNamed(machine, call.text('id'));
    return buffer === null ? { res: 'ENOENT' } : machine.ok(buffer.unregister());
  },
  devw: (machine, _by, call) => {
    const buffer = bufferNamed(machine, call.text('id'));
    if (buffer === null) return { res: 'ENOENT' };
    touchPage(machine, buffer, call.number('p', 0));
    const pfn = buffer.page(call.number('p', 0));
    if (pfn < 0) return { res: errnoName(pfn) };
    machine.memory.bytes.fill(pfn, 0, call.number('v', 0) & 255, PAGE);
    return { res: 'ok' };
  },
  devr: (machine, _by, call) => {
    const buffer = bufferNamed(machine, call.text('id'));
    if (buffer === null) return { res: 'ENOENT' };
    touchPage(machine, buffer, call.number('p', 0));
    const pfn = buffer.page(call.number('p', 0));
    if (pfn < 0) return { res: errnoName(pfn) };
    const byte = new Uint8Array(1);
    machine.memory.bytes.read(pfn, 0, byte, 0, 1);
    return { res: byte[0] };
  },
};

/** The recorder takes note of the page that the device touched. */
function touchPage(machine: ScenarioMachine, buffer: RegisteredBuffer, p: number): void {
  const region = machine.regionAt(buffer.address);
  if (region === null) return;
  const page = Math.floor((buffer.address - region.base) / PAGE) + p;
  if (page < region.touched.length) region.touched[page] = 1;
}
