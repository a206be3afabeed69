/**
 * Character devices of a driver: `/dev/<name>` with open, ioctl, mmap and release.
 *
 * A program's open file outlives the device: after removal each call of it answers ENODEV, and closing it no longer
 * reaches the driver, whose `remove` has given everything back.
 * Source followed: `struct file_operations`, `cdev_del` (`fs/char_dev.c`).
 */
import type { Mm, VmaBacking } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { ENODEV } from '@pincushion/sim';
import type { Managed } from '../managed';
import type { DeviceNodes } from './device-nodes';

/**
 * One open of a character device, as one call sees it. After a fork several processes make calls on the same open: each
 * call gets an object of its own, and only `state` is common to all.
 */
export interface CharFile {
  /** The address space of the process that makes the call (`current->mm`). */
  readonly mm: Mm;
  /** Name of that process. */
  readonly process: string;
  /** For the driver: what belongs to this open (`file->private_data`). Null at first. */
  state: unknown;
}

/** What a program asked of `mmap`: bytes, `PROT_*`, `MAP_*`, and where in the device the mapping begins, pages. */
export interface MapRequest {
  readonly length: number;
  readonly prot: number;
  readonly flags: number;
  readonly pageOffset: number;
}

/** What a driver gives a character device. All run in task context, and all answer 0 or more, or -errno. */
export interface CharOperations {
  open?(file: CharFile): MaySleep;
  ioctl(file: CharFile, command: number, arg: unknown): Task<number>;
  /** The pages behind a mapping, or -errno. */
  mmap?(file: CharFile, request: MapRequest): VmaBacking | number;
  /** The last close of this open. */
  release?(file: CharFile): Task<unknown>;
}

/** A registered character device, as `open` finds it. */
export interface CharNode {
  readonly name: string;
  /** What the driver registered; once it has given that back, operations that answer ENODEV. */
  readonly operations: CharOperations;
  /** The device is going or gone: every call answers ENODEV. */
  readonly gone: boolean;
  /** What belongs to each open (`CharFile.state`), by its file; empty once the driver is gone. */
  readonly states: WeakMap<object, unknown>;
}

export abstract class CharDevices {
  /** Task context. */
  abstract register(name: string, operations: CharOperations): Managed;
}

const GONE: CharOperations = Object.freeze({
  *ioctl(): Task<number> {
    return -ENODEV;
  },
});

class RegisteredChar implements CharNode, Managed {
  readonly what: string;
  gone = false;
  states = new WeakMap<object, unknown>();

  constructor(
    readonly name: string,
    public operations: CharOperations,
    private readonly nodes: DeviceNodes,
    private readonly chars: Set<RegisteredChar>,
  ) {
    this.what = `character device ${name}`;
  }

  release(): undefined {
    this.gone = true;
    this.nodes.delete(this.name);
    this.chars.delete(this);
    // A program may keep its file open for ever; the driver is not kept by that.
    this.operations = GONE;
    this.states = new WeakMap();
  }
}

/** The service as bound to one device. */
export class DeviceCharDevices extends CharDevices {
  private readonly chars = new Set<RegisteredChar>();

  constructor(
    private readonly nodes: DeviceNodes,
    private readonly devicePath: string,
  ) {
    super();
  }

  override register(name: string, operations: CharOperations): Managed {
    const char = new RegisteredChar(name, operations, this.nodes, this.chars);
    this.nodes.add({ kind: 'char', name, devicePath: this.devicePath, char });
    this.chars.add(char);
    return char;
  }

  /** No new call from now on. */
  refuse(): void {
    for (const char of this.chars) char.gone = true;
  }

  /** Takes back every registration that is left. */
  removeAll(): void {
    for (const char of this.chars) char.release();
  }
}
