/** Planted bugs with pins and DMA mappings. Each class is the correct driver with one mistake. */
import type { CharFile, GottenPages, Managed, MappedRange, PinnedRange, Task } from '@pincushion/driver';
import {
  DmaDirection,
  FOLL_LONGTERM,
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  driver,
} from '@pincushion/driver';
import { Config, MATCH, Port } from './port';

const api = 1;
const match = MATCH;
const config = Config;

/** Takes the mapping apart by hand instead of by its release. */
abstract class UnmapsByHand extends Port {
  protected override *map(file: CharFile, pinned: PinnedRange): Task<number> {
    const { pages, count, offset, length } = this.own(pinned);
    const iova = this.dma.mapPages(pages, 0, count, offset, length, DmaDirection.bidirectional);
    if (iova < 0) {
      yield* this.giveBack(pinned);
      return iova;
    }
    const release = (): undefined => {
      this.unmap(iova, length);
    };
    file.state = this.own({ what: 'mapping', iova, length, pinned, release } satisfies MappedRange);
    return 0;
  }

  protected abstract unmap(iova: number, length: number): undefined;
}

@driver({ name: 'unpins-before-dma-stops', api, match, config })
export class UnpinsBeforeDmaStops extends Port {
  override *release(file: CharFile): Task<number> {
    const buffer = file.state as MappedRange | null;
    if (buffer === null) return 0;
    yield* this.giveBack(buffer.pinned);
    yield* this.idle();
    yield* this.giveBack(buffer);
    file.state = null;
    return 0;
  }
}

@driver({ name: 'unmaps-before-dma-stops', api, match, config })
export class UnmapsBeforeDmaStops extends Port {
  override *release(file: CharFile): Task<number> {
    const buffer = file.state as MappedRange | null;
    if (buffer !== null) yield* this.giveBack(buffer, buffer.pinned);
    return 0;
  }
}

@driver({ name: 'keeps-pin-when-mapping-fails', api, match, config })
export class KeepsPinWhenMappingFails extends Port {
  protected override *map(file: CharFile, pinned: PinnedRange): Task<number> {
    const mapped = this.dma.mapRange(pinned, DmaDirection.bidirectional);
    if (typeof mapped === 'number') return mapped;
    this.own(pinned);
    file.state = this.own(mapped);
    return 0;
  }
}

/** Tries itself out on a pinned page before it comes up. */
@driver({ name: 'keeps-pin-when-probe-fails', api, match, config })
export class KeepsPinWhenProbeFails extends Port {
  override *probe(): Task {
    const mm = this.device.memory.createMm('self test');
    const mapped = mm.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    const address = typeof mapped === 'number' ? mapped : yield* mapped;
    const pinned = yield* this.gup.pinRange({ mm, address, length: 4096 }, FOLL_WRITE);
    if (typeof pinned === 'number') throw new Error('no page to try');
    yield* super.probe(); // the bug: it throws
    yield* pinned.release();
    const ended = mm.exit();
    if (typeof ended !== 'number') yield* ended;
  }
}

@driver({ name: 'keeps-memory-when-probe-fails', api, match, config })
export class KeepsMemoryWhenProbeFails extends Port {
  protected override takeRing(): void {
    const ring = this.dma.coherent(4096, 'ring');
    const events = this.dma.coherent(4096, 'events');
    if (ring === null || events === null) throw new Error('no memory');
    this.own(ring);
    this.own(events);
  }
}

@driver({ name: 'ignores-missing-memory', api, match, config })
export class IgnoresMissingMemory extends Port {
  protected override takeRing(): void {
    const ring = this.dma.coherent(4096, 'ring') as { bytes: Uint8Array };
    ring.bytes.fill(0);
    super.takeRing();
  }
}

@driver({ name: 'never-unpins', api, match, config })
export class NeverUnpins extends Port {
  override *release(file: CharFile): Task<number> {
    yield* this.idle();
    const buffer = file.state as MappedRange | null;
    if (buffer !== null) yield* this.giveBack(buffer);
    file.state = null;
    return 0;
  }

  protected override own<R extends Managed>(resource: R): R {
    return resource.what.startsWith('pin ') ? resource : super.own(resource);
  }
}

@driver({ name: 'never-unmaps', api, match, config })
export class NeverUnmaps extends UnmapsByHand {
  protected override unmap(): undefined {
    // The bug.
  }
}

@driver({ name: 'unmaps-wrong-size', api, match, config })
export class UnmapsWrongSize extends UnmapsByHand {
  protected override unmap(iova: number, length: number): undefined {
    this.dma.unmapPages(iova, length - 4096, DmaDirection.bidirectional);
  }
}

@driver({ name: 'unmaps-wrong-direction', api, match, config })
export class UnmapsWrongDirection extends UnmapsByHand {
  protected override unmap(iova: number, length: number): undefined {
    this.dma.unmapPages(iova, length, DmaDirection.toDevice);
  }
}

@driver({ name: 'unmaps-twice', api, match, config })
export class UnmapsTwice extends UnmapsByHand {
  protected override unmap(iova: number, length: number): undefined {
    this.dma.unmapPages(iova, length, DmaDirection.bidirectional);
    this.dma.unmapPages(iova, length, DmaDirection.bidirectional);
  }
}

@driver({ name: 'maps-wrong-direction', api, match, config })
export class MapsWrongDirection extends Port {
  protected override *map(file: CharFile, pinned: PinnedRange): Task<number> {
    const mapped = this.dma.mapRange(this.own(pinned), DmaDirection.toDevice);
    if (typeof mapped === 'number') yield* this.giveBack(pinned);
    else file.state = this.own(mapped);
    return typeof mapped === 'number' ? mapped : 0;
  }
}

/** Owns no pin, and unpins by hand. */
abstract class UnpinsByHand extends Port {
  protected override own<R extends Managed>(resource: R): R {
    return resource.what.startsWith('pin ') ? resource : super.own(resource);
  }

  override *release(file: CharFile): Task<number> {
    yield* this.idle();
    const buffer = file.state as MappedRange | null;
    file.state = null;
    if (buffer === null) return 0;
    yield* this.giveBack(buffer);
    this.unpin(buffer.pinned);
    return 0;
  }

  protected abstract unpin(pinned: PinnedRange): undefined;
}

@driver({ name: 'releases-with-put', api, match, config })
export class ReleasesWithPut extends UnpinsByHand {
  protected override unpin({ pages, count }: PinnedRange): undefined {
    this.gup.putPages(pages as unknown as GottenPages, 0, count);
  }
}

@driver({ name: 'releases-twice', api, match, config })
export class ReleasesTwice extends UnpinsByHand {
  protected override unpin({ pages, count }: PinnedRange): undefined {
    this.gup.unpinUserPages(pages, 0, count);
    this.gup.unpinUserPages(pages, 0, count);
  }
}

@driver({ name: 'overruns-its-buffer', api, match, config })
export class OverrunsItsBuffer extends Port {
  protected override ring(iova: number, length: number, command: number): void {
    super.ring(iova, length + 1, command);
  }
}

@driver({ name: 'releases-clean', api, match, config })
export class ReleasesClean extends UnpinsByHand {
  protected override unpin({ pages, count }: PinnedRange): undefined {
    this.gup.unpinUserPages(pages, 0, count);
  }
}

@driver({ name: 'pins-for-reading', api, match, config })
export class PinsForReading extends Port {
  protected override *register(file: CharFile, address: number, length: number): Task<number> {
    const pinned = yield* this.gup.pinRange({ mm: file.mm, address, length }, FOLL_LONGTERM);
    return typeof pinned === 'number' ? pinned : yield* this.map(file, pinned);
  }
}
