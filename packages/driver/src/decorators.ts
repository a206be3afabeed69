/**
 * `@driver` and `@hardware`: what the bus knows about a class before it makes an instance.
 *
 * The decorators only write down; nothing is registered anywhere, so importing a plugin has no effect by itself. The
 * facts lie on the class under a symbol shared by all copies of this package, so that a second copy is recognised and
 * not taken for a missing decorator.
 */
import type { z } from 'zod';
import type { DeviceModel } from './device-model';
import type { Driver } from './driver';

/** An abstract or concrete class, as a token for what is injected. */
export type AbstractClass<T = unknown> = abstract new (...args: never[]) => T;
export type DriverClass = new (...args: never[]) => Driver;
export type HardwareClass = new () => DeviceModel;

/** The instances that belong to a list of classes, in their order. */
export type Instances<D extends readonly AbstractClass[]> = {
  [K in keyof D]: D[K] extends AbstractClass<infer T> ? T : never;
};

export interface DriverMatch {
  /** PCI vendor id, 16 bits. */
  readonly vendor: number;
  /** PCI device id, 16 bits. */
  readonly device: number;
}

export interface DriverMeta {
  readonly name: string;
  /** Version of the plugin contract: 1. */
  readonly api: 1;
  readonly match: readonly DriverMatch[];
  /** Schema of the device's `config`; defaults in it make a configuration optional. */
  readonly config: z.ZodType;
  /** The services the constructor takes, in order. Needed where the build tool writes no decorator metadata. */
  readonly deps?: readonly AbstractClass[];
}

/** One BAR of a device: a window on its registers, or memory that it has. */
export interface BarMeta {
  /**
   * Bytes; for memory a power of two of at least a page. Where it follows from the settings of the model, a function of them; 0: this device
   * has no such BAR.
   */
  readonly bytes: number | ((model: never) => number);
  /** Memory: the CPU and other devices reach its bytes without asking the model. Registers unless set. */
  readonly memory?: boolean;
  /** For memory: reads have no side effects. True unless given. */
  readonly prefetchable?: boolean;
}

export interface HardwareMeta {
  readonly name: string;
  readonly vendor: number;
  readonly device: number;
  /** What the device shows on the bus, by number. */
  readonly bars: readonly BarMeta[];
  /** How many interrupt vectors the device can raise. */
  readonly vectors: number;
  /** Schema of the device's `model` settings. */
  readonly config?: z.ZodType;
}

const DRIVER_META = Symbol.for('pincushion.driver.meta');
const HARDWARE_META = Symbol.for('pincushion.hardware.meta');

/**
 * Makes a class a driver. With `deps`, the constructor's parameters are checked against them by type: a missing,
 * surplus or swapped service does not compile.
 */
export function driver<const D extends readonly AbstractClass[]>(
  meta: DriverMeta & { readonly deps: D },
): (target: new (...args: Instances<D>) => Driver) => void;
export function driver(meta: DriverMeta & { readonly deps?: never }): (target: DriverClass) => void;
export function driver(meta: DriverMeta): (target: DriverClass) => void {
  return (target) => {
    write(target, DRIVER_META, meta);
  };
}

/** Makes a class the model of a piece of hardware. Its constructor takes nothing. */
export function hardware(meta: HardwareMeta): (target: HardwareClass) => void {
  return (target) => {
    write(target, HARDWARE_META, meta);
  };
}

/** The driver facts of this very class; null when it carries none, also when its base class does. */
export function driverMeta(target: unknown): DriverMeta | null {
  return read(target, DRIVER_META) as DriverMeta | null;
}

/** The hardware facts of this very class; null when it carries none, also when its base class does. */
export function hardwareMeta(target: unknown): HardwareMeta | null {
  return read(target, HARDWARE_META) as HardwareMeta | null;
}

function write(target: object, key: symbol, meta: object): void {
  Object.defineProperty(target, key, { value: Object.freeze({ ...meta }), enumerable: false });
}

function read(target: unknown, key: symbol): unknown {
  if (typeof target !== 'function') return null;
  return Object.getOwnPropertyDescriptor(target, key)?.value ?? null;
}
