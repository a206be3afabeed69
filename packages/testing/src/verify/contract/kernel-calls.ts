/**
 * What each method of a kernel service is in Linux: the function a C driver calls there, what it gives, and what has to be
 * called to give that back. One table a service; a method without a line does not compile.
 *
 * Source: the C names of Linux 6.18. `[]` stands for a function that is called once for each of several things.
 */
import type { BlockDisks, CharDevices, DeviceClock, DeviceWork, DmaMapper, Gup, Interrupts } from '@pincushion/driver';
import type { Log, PeerMemory, Registers } from '@pincushion/driver';
import { DmaDirection } from '@pincushion/driver';
import * as mm from '@pincushion/mm';

/** How a service says no: with -ENOMEM, with null, or by an exception that stands for an errno of `probe`. */
export type Refusal = 'errno' | 'null' | 'throws';

export interface KernelCall {
  /** The C function. */
  readonly linux: string;
  /** The arguments, as a driver would write them. */
  readonly args: string | ((given: readonly unknown[]) => string);
  /** What the caller has afterwards. */
  readonly gives?: string;
  /** The C function that gives it back, which the caller owes; with `handle`, by `release` of what is returned. */
  readonly owes?: string;
  /** What the thing returned is called in a driver. */
  readonly handle?: string;
  /** Without a handle: what has to be given back, by its place among the arguments, or the answer itself. */
  readonly thing?: number | 'answer';
  /** Gives back its first argument. */
  readonly returns?: true;
  /** Absent: it cannot be refused. */
  readonly refused?: Refusal;
}

/** A line for each method of a service. */
export type KernelCalls<T> = {
  readonly [K in keyof T as T[K] extends (...given: never[]) => unknown ? K : never]: KernelCall;
};

const PINS = {
  gives: 'pages that stay where they are',
  owes: 'unpin_user_pages_dirty_lock',
  refused: 'errno',
  thing: 4,
} as const;
const GETS = { gives: 'references to pages', owes: 'put_page[]', refused: 'errno', thing: 4 } as const;
const MAPS = { gives: 'a bus address', owes: 'dma_unmap_sgtable', refused: 'errno', thing: 'answer' } as const;
const COHERENT = {
  linux: 'dma_alloc_coherent',
  gives: 'memory of driver and device',
  owes: 'dma_free_coherent',
  handle: 'memory',
  refused: 'null',
} as const;

const pagesOf = ([, , , flags]: readonly unknown[]): string => `mm, start, n, ${follFlags(flags)}, pages`;

export const GUP_CALLS: KernelCalls<Gup> = {
  getUserPages: { linux: 'get_user_pages', args: pagesOf, ...GETS },
  getUserPagesFast: { linux: 'get_user_pages_fast', args: pagesOf, ...GETS },
  getUserPagesFastOnly: { linux: 'get_user_pages_fast_only', args: pagesOf, ...GETS },
  pinUserPages: { linux: 'pin_user_pages', args: pagesOf, ...PINS },
  pinUserPagesFast: { linux: 'pin_user_pages_fast', args: pagesOf, ...PINS },
  pinUserPageRanges: {
    linux: 'pin_user_pages_fast',
    args: ([, , , flags]) => `mm, start, n, ${follFlags(flags)}, ranges`,
    ...PINS,
    owes: 'unpin_user_page_range_dirty_lock[]',
  },
  pinRange: {
    linux: 'pin_user_pages_fast',
    args: ([, flags]) => `range, ${follFlags(flags)}`,
    ...PINS,
    handle: 'pinned',
  },
  unpinUserPages: { linux: 'unpin_user_pages', args: 'pages', returns: true },
  unpinUserPagesDirtyLock: {
    linux: 'unpin_user_pages_dirty_lock',
    args: ([, , , dirty]) => `pages, ${dirtyOrNot(dirty)}`,
    returns: true,
  },
  unpinUserPageRanges: { linux: 'unpin_user_page_range_dirty_lock[]', args: 'ranges', returns: true },
  unpinUserPageRangesDirtyLock: {
    linux: 'unpin_user_page_range_dirty_lock[]',
    args: ([, dirty]) => `ranges, ${dirtyOrNot(dirty)}`,
    returns: true,
  },
  putPages: { linux: 'put_page[]', args: 'pages', returns: true },
};

export const DMA_CALLS: KernelCalls<DmaMapper> = {
  mapPages: { linux: 'dma_map_sgtable', args: (given) => `pages, ${directionOf(given[5])}`, ...MAPS },
  unmapPages: {
    linux: 'dma_unmap_sgtable',
    args: ([, , direction]) => `iova, length, ${directionOf(direction)}`,
    returns: true,
  },
  mapSg: {
    linux: 'dma_map_sg',
    args: ([, direction]) => `list, ${directionOf(direction)}`,
    ...MAPS,
    owes: 'dma_unmap_sg',
    thing: 0,
  },
  unmapSg: { linux: 'dma_unmap_sg', args: ([, direction]) => `list, ${directionOf(direction)}`, returns: true },
  mapRange: {
    linux: 'dma_map_sgtable',
    args: ([, direction]) => `pinned, ${directionOf(direction)}`,
    ...MAPS,
    handle: 'mapping',
  },
  allocCoherent: { args: ([bytes]) => String(bytes), ...COHERENT },
  coherent: { args: ([bytes, what]) => `${String(bytes)}, ${quoted(what)}`, ...COHERENT },
  mmapCoherent: { linux: 'dma_mmap_coherent', args: 'memory', gives: 'the pages behind a mapping of the program' },
};

const offsetOf = ([offset]: readonly unknown[]): string => hex(offset);
const offsetAndValue = ([offset]: readonly unknown[]): string => `${hex(offset)}, value`;

export const REGISTER_CALLS: KernelCalls<Registers> = {
  read32: { linux: 'readl', args: offsetOf },
  write32: { linux: 'writel', args: offsetAndValue },
  read64lohi: { linux: 'lo_hi_readq', args: offsetOf },
  write64lohi: { linux: 'lo_hi_writeq', args: offsetAndValue },
  bar: { linux: 'pcim_iomap', args: ([index]) => String(index), gives: 'a register window' },
};

export const INTERRUPT_CALLS: KernelCalls<Interrupts> = {
  request: {
    linux: 'request_irq',
    args: ([vector, name]) => `${String(vector)}, ${quoted(name)}, handler`,
    gives: 'the handler may run from now on',
    owes: 'free_irq',
    handle: 'interrupt',
    refused: 'throws',
  },
};

export const WORK_CALLS: KernelCalls<DeviceWork> = {
  work: {
    linux: 'INIT_WORK',
    args: ([name]) => `${quoted(name)}, run`,
    gives: 'a work item',
    owes: 'cancel_work_sync',
    handle: 'work',
  },
  timer: {
    linux: 'timer_setup',
    args: ([name]) => `${quoted(name)}, fire`,
    gives: 'a timer',
    owes: 'timer_shutdown_sync',
    handle: 'timer',
  },
};

export const CHAR_CALLS: KernelCalls<CharDevices> = {
  register: {
    linux: 'cdev_device_add',
    args: ([name]) => `${quoted(name)}, operations`,
    gives: 'programs may open it from now on',
    owes: 'cdev_device_del',
    handle: 'node',
    refused: 'throws',
  },
};

export const DISK_CALLS: KernelCalls<BlockDisks> = {
  register: {
    linux: 'device_add_disk',
    args: 'disk',
    gives: 'bios may come from now on',
    owes: 'del_gendisk',
    handle: 'disk',
    refused: 'throws',
  },
};

const PEER_PAGES = {
  linux: 'pci_alloc_p2pmem',
  gives: 'memory of a device',
  owes: 'pci_free_p2pmem',
  handle: 'buffer',
  refused: 'null',
} as const;

export const PEER_CALLS: KernelCalls<PeerMemory> = {
  add: {
    linux: 'pci_p2pdma_add_resource',
    args: ([bar]) => String(bar),
    gives: 'pages in memory of the device',
    owes: 'devm_release_action',
    handle: 'resource',
    refused: 'errno',
  },
  alloc: { args: ([bytes]) => String(bytes), ...PEER_PAGES },
  find: { linux: 'pci_p2pmem_find_many', args: 'clients', gives: 'a device that offers memory' },
};

export const CLOCK_CALLS: KernelCalls<DeviceClock> = { sleep: { linux: 'fsleep', args: 'ns' } };
export const LOG_CALLS: KernelCalls<Log> = { note: { linux: 'dev_info', args: 'text' } };

/** What is called on a handle. */
export const HANDLE_CALLS = Object.freeze({
  mask: 'disable_irq_nosync',
  unmask: 'enable_irq',
  queue: 'queue_work',
  start: 'mod_timer',
  cancel: 'timer_delete',
});

/** What the kernel calls of a driver. */
export const ENTRY_POINTS = Object.freeze({
  probe: 'pci_driver.probe',
  remove: 'pci_driver.remove',
  suspend: 'dev_pm_ops.suspend',
  resume: 'dev_pm_ops.resume',
  reset: 'pci_error_handlers.reset_done',
  open: 'file_operations.open',
  ioctl: 'file_operations.unlocked_ioctl',
  mmap: 'file_operations.mmap',
  release: 'file_operations.release',
  queueBio: 'block_device_operations.submit_bio',
  queueRq: 'blk_mq_ops.queue_rq',
  interrupt: 'irq_handler_t',
  timer: 'timer_list.function',
  work: 'work_struct.func',
  devres: 'devres_release_all',
});

const FLAG_NAMES = Object.entries(mm)
  .filter((entry): entry is [string, number] => /^FOLL_(?!.*MASK)/.test(entry[0]) && typeof entry[1] === 'number')
  .sort(([, a], [, b]) => a - b);

/** `FOLL_WRITE | FOLL_LONGTERM`. */
function follFlags(flags: unknown): string {
  if (typeof flags !== 'number') return 'flags';
  const names = FLAG_NAMES.filter(([, bit]) => (flags & bit) !== 0).map(([name]) => name);
  return names.length === 0 ? '0' : names.join(' | ');
}

function directionOf(direction: unknown): string {
  return Object.entries(DmaDirection).find(([, value]) => value === direction)?.[0] ?? 'direction';
}

function dirtyOrNot(dirty: unknown): string {
  return dirty === true ? 'true' : 'false';
}

function hex(n: unknown): string {
  return typeof n === 'number' ? `0x${n.toString(16).padStart(2, '0')}` : 'offset';
}

function quoted(text: unknown): string {
  return `'${String(text)}'`;
}
