/**
 * Stand-ins for kernel services: a test says which methods are its own, everything else stays the real service.
 *
 *     testDevice(EchoNic, { hardware, fakes: [fake(Gup, (real) => ({ pinRange: function* () { return -ENOMEM; } }))] })
 *
 * A service is named by its class, so what is put in its place is checked by the compiler.
 */
import type { AbstractClass, Wiring } from '@pincushion/driver';

/** A service to be replaced, as `fake` makes it. */
export interface Fake {
  /** The class that drivers ask for. */
  readonly service: string;
  /** By `testDevice`. */
  install(wiring: Wiring): void;
}

/** Replaces methods of a service; `own` may use the real one that it stands before. */
export function fake<T extends object>(service: AbstractClass<T>, own: Partial<T> | ((real: T) => Partial<T>)): Fake {
  return {
    service: service.name,
    install: (wiring) => {
      wiring.replace(service, (real) => standIn(real, typeof own === 'function' ? own(real) : own));
    },
  };
}

/** Own methods first; those of the real service run on the real service. */
function standIn<T extends object>(real: T, own: Partial<T>): T {
  return new Proxy(real, {
    get: (target, key) => {
      const value: unknown = Reflect.get(Object.hasOwn(own, key) ? own : target, key);
      return typeof value === 'function' && !Object.hasOwn(own, key)
        ? (...given: unknown[]): unknown => Reflect.apply(value, target, given)
        : value;
    },
  });
}
