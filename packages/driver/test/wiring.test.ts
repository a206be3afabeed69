import { DmaMapper, Driver, Gup, Registers, Wiring, driver } from '@pincushion/driver';
import type { Task } from '@pincushion/driver';
import { z } from 'zod';

const META = { name: 'wired', api: 1, match: [], config: z.strictObject({}) } as const;

abstract class Base extends Driver {
  override *probe(): Task {
    // Nothing to bring up.
  }

  override *remove(): Task {
    // Nothing to stop.
  }
}

@driver(META)
class WithMetadata extends Base {
  constructor(
    readonly gup: Gup,
    readonly dma: DmaMapper,
  ) {
    super();
  }
}

/** As a compiler without decorator metadata leaves a class: the decorator is a call. */
class Plain extends Base {
  constructor(
    readonly gup: Gup,
    readonly dma: DmaMapper,
  ) {
    super();
  }
}

class Undecorated extends WithMetadata {}

const gup = Object.create(Gup.prototype) as Gup;
const dma = Object.create(DmaMapper.prototype) as DmaMapper;

function wiring(): Wiring {
  return Wiring.root().provide(Gup, gup).child().provide(DmaMapper, dma).child();
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

describe('wiring', () => {
  it('gives a constructor the services of its parameter types, from any scope above', () => {
    const made = wiring().build(WithMetadata, 'dev0');
    expect(made.gup).toBe(gup);
    expect(made.dma).toBe(dma);
  });

  it('gives the services named by deps where the compiler wrote no metadata', () => {
    class Listed extends Base {
      constructor(
        readonly gup: Gup,
        readonly dma: DmaMapper,
      ) {
        super();
      }
    }
    driver({ ...META, deps: [Gup, DmaMapper] })(Listed);
    const made = wiring().build(Listed, 'dev0');
    expect(made.gup).toBe(gup);
    expect(made.dma).toBe(dma);
  });

  it('uses the types of the base class for a subclass without a constructor', () => {
    @driver({ ...META, name: 'sub' })
    class Sub extends WithMetadata {}
    expect(wiring().build(Sub, 'dev0').gup).toBe(gup);
  });

  it('names class, parameter and service when a service is not offered', () => {
    @driver(META)
    class Wants extends Base {
      constructor(
        readonly gup: Gup,
        readonly registers: Registers,
      ) {
        super();
      }
    }
    const message = messageOf(() => wiring().build(Wants, 'dev0'));
    expect(message).toMatch(/^DRIVER_SERVICE_MISSING: parameter 2 \(registers\) of the constructor of Wants/);
    expect(message).toContain('asks for Registers');
    expect(message).toContain('(device dev0)');
    expect(message).toContain('Expected one of DmaMapper, Gup');
  });

  it('does not make an empty object out of an abstract class', () => {
    expect(() => Wiring.root().build(WithMetadata, 'dev0')).toThrow('DRIVER_SERVICE_MISSING');
  });

  it('names the tools and both cures when the parameter types are unknown', () => {
    driver(META)(Plain);
    const message = messageOf(() => wiring().build(Plain, 'dev0'));
    expect(message).toMatch(/^DRIVER_METADATA_MISSING: .*Plain/);
    expect(message).toMatch(/esbuild, tsx, vitest/);
    expect(message).toMatch(/deps: \[\.\.\.\].*emitDecoratorMetadata/);
  });

  it('says that a type-only import leaves nothing to look up', () => {
    class Vague extends Base {
      constructor(readonly gup: object) {
        super();
      }
    }
    Reflect.defineMetadata('design:paramtypes', [Object], Vague);
    driver(META)(Vague);
    expect(messageOf(() => wiring().build(Vague, 'dev0'))).toMatch(
      /DRIVER_METADATA_MISSING: parameter 1 \(gup\) of the constructor of Vague .*type-only import/,
    );
  });

  it('names a subclass that has no decorator of its own', () => {
    const message = messageOf(() => wiring().build(Undecorated, 'dev0'));
    expect(message).toMatch(/DRIVER_METADATA_INVALID: class Undecorated extends the driver WithMetadata/);
    expect(message).toContain('decorators are not inherited');
  });

  it('refuses deps that are shorter than the constructor', () => {
    class Short extends Base {
      constructor(
        readonly gup: Gup,
        readonly dma: DmaMapper,
      ) {
        super();
      }
    }
    const untyped = driver as (meta: object) => (cls: unknown) => void;
    untyped({ ...META, deps: [Gup] })(Short);
    expect(() => wiring().build(Short, 'dev0')).toThrow(/DRIVER_METADATA_INVALID: deps of Short.*2 classes/);
  });

  it('explains a second copy of the package instead of a service that is missing although it is there', () => {
    const copy = {
      Gup: class Gup {
        readonly copied = true;
      },
    };
    class FromCopy extends Base {
      constructor(readonly gup: object) {
        super();
      }
    }
    Reflect.defineMetadata('design:paramtypes', [copy.Gup], FromCopy);
    driver(META)(FromCopy);
    const message = messageOf(() => wiring().build(FromCopy, 'dev0'));
    expect(message).toMatch(/^DRIVER_DUPLICATE_PACKAGE/);
    expect(message).toContain('peerDependencies');
  });
});
