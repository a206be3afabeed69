/**
 * The one place that knows tsyringe: finds what a driver's constructor asks for.
 *
 * Containers form the chain world -> machine -> device, and hold values only: what is stateful is made by its owner and
 * registered as an instance. The container wires and owns no lifetime. Before it resolves anything, each parameter is
 * looked up by hand, because tsyringe alone makes an empty object out of an unregistered abstract class.
 */
import 'reflect-metadata';
import { UsageError } from '@pincushion/sim';
import type { DependencyContainer, InjectionToken } from 'tsyringe';
import { container } from 'tsyringe';
import type { AbstractClass, DriverClass } from './decorators';
import { driverMeta } from './decorators';
import { notDecorated } from './decorator-errors';
import type { Driver } from './driver';
import { duplicatePackage } from './package-copies';

export class Wiring {
  private readonly names: string[] = [];
  /** What makes a stand-in out of a service, by its class. */
  private readonly standIns = new Map<AbstractClass, (real: never) => unknown>();

  private constructor(
    private readonly scope: DependencyContainer,
    private readonly parent: Wiring | null,
  ) {}

  /** An empty scope for a world. */
  static root(): Wiring {
    return new Wiring(container.createChildContainer(), null);
  }

  /** A scope that sees what this one offers, and whose own entries hide those of this one. */
  child(): Wiring {
    return new Wiring(this.scope.createChildContainer(), this);
  }

  /** Offers a value under its abstract class. A later offer for the same class replaces the earlier one. */
  provide<T>(token: AbstractClass<T>, value: T): this {
    const standIn = this.standInFor(token);
    this.scope.register(asToken(token), { useValue: standIn === null ? value : standIn(value) });
    this.names.push(token.name);
    return this;
  }

  /**
   * Puts something in the place of a service, here and in all scopes below, also where these offer their own. `make` gets
   * the service that would have been offered. For tests.
   */
  replace<T>(token: AbstractClass<T>, make: (real: T) => T): this {
    this.standIns.set(token, make);
    if (this.has(token)) this.scope.register(asToken(token), { useValue: make(this.scope.resolve(asToken(token))) });
    return this;
  }

  has(token: AbstractClass): boolean {
    return this.scope.isRegistered(asToken(token), true);
  }

  /** What is offered here, by class name. */
  offered(): readonly string[] {
    return [...new Set([...(this.parent?.offered() ?? []), ...this.names])].sort();
  }

  /**
   * Makes a driver with the services its constructor asks for. Throws `UsageError`: DRIVER_METADATA_INVALID for an
   * undecorated class, DRIVER_METADATA_MISSING when the types of its parameters are unknown, DRIVER_SERVICE_MISSING when
   * one is not offered, DRIVER_DUPLICATE_PACKAGE when one belongs to another copy of the package.
   */
  build<D extends Driver>(cls: new (...services: never[]) => D, devicePath: string): D {
    if (driverMeta(cls) === null) throw notDecorated(cls, 'driver');
    const tokens = constructorTokens(cls, devicePath);
    tokens.forEach((token, index) => {
      this.checkOffered(cls, token, index, devicePath);
    });
    const make = cls as unknown as new (...services: unknown[]) => D;
    this.scope.register(asToken(cls), {
      useFactory: (scope) => new make(...tokens.map((token) => scope.resolve(asToken(token as AbstractClass)))),
    });
    return this.scope.resolve<D>(asToken(cls));
  }

  private standInFor<T>(token: AbstractClass<T>): ((real: T) => T) | null {
    const own = this.standIns.get(token) as ((real: T) => T) | undefined;
    return own ?? this.parent?.standInFor(token) ?? null;
  }

  private checkOffered(cls: DriverClass, token: unknown, index: number, devicePath: string): void {
    const parameter = `parameter ${index + 1}${parameterName(cls, index)} of the constructor of ${cls.name}`;
    if (typeof token !== 'function' || token === Object || token === Function) {
      throw new UsageError('DRIVER_METADATA_MISSING', `${parameter} has no class that could be looked up`, {
        device: devicePath,
        expected: 'a service class, imported as a value',
        actual:
          typeof token === 'function' ? `${token.name}, which a type-only import or an interface leaves` : 'nothing',
        hint: `importing the class without "type", or deps: [...] in @driver of ${cls.name}`,
      });
    }
    if (this.has(token as unknown as AbstractClass)) return;
    if (this.offered().includes(token.name)) throw duplicatePackage();
    throw new UsageError('DRIVER_SERVICE_MISSING', `${parameter} asks for ${token.name}, which is not offered here`, {
      device: devicePath,
      expected: `one of ${this.offered().join(', ')}`,
      actual: token.name,
    });
  }
}

/** The classes of the constructor's parameters: from `deps`, else from the metadata, of the class that has a constructor. */
function constructorTokens(cls: DriverClass, devicePath: string): readonly unknown[] {
  for (let at: unknown = cls; typeof at === 'function'; at = Object.getPrototypeOf(at)) {
    const deps = driverMeta(at)?.deps ?? (Reflect.getOwnMetadata('design:paramtypes', at) as unknown[] | undefined);
    if (deps !== undefined) {
      if (deps.length >= at.length) return deps;
      throw new UsageError('DRIVER_METADATA_INVALID', `deps of ${cls.name} names too few services`, {
        device: devicePath,
        expected: `${at.length} classes, one for each parameter of the constructor`,
        actual: String(deps.length),
      });
    }
    if (at.length > 0) {
      throw new UsageError(
        'DRIVER_METADATA_MISSING',
        `the parameter types of the constructor of ${cls.name} are unknown`,
        {
          device: devicePath,
          expected: 'decorator metadata, or the list deps in @driver',
          actual: 'neither: esbuild, tsx, vitest and plain JavaScript write no decorator metadata',
          hint:
            `deps: [...] in @driver of ${cls.name}, with the service classes in the order of the parameters; ` +
            'or a compiler that emits metadata (tsc or swc with experimentalDecorators and emitDecoratorMetadata)',
        },
      );
    }
  }
  return [];
}

/** ` (gup)`, read from the source of the class; empty when it cannot be told. */
function parameterName(cls: DriverClass, index: number): string {
  const list = /\bconstructor\s*\(([^)]*)\)/.exec(Function.prototype.toString.call(cls))?.[1].split(',') ?? [];
  const name = /^\s*([A-Za-z_$][\w$]*)/.exec(list[index] ?? '')?.[1];
  return name === undefined ? '' : ` (${name})`;
}

function asToken<T>(cls: AbstractClass<T>): InjectionToken<T> {
  return cls as unknown as InjectionToken<T>;
}
