import { Namespace } from '../src/device/media/namespace';
import { MemoryFiles, controllerBed, pattern } from './bare-host';
import { driverBed } from './driver-bed';

const image = (files: MemoryFiles, writable: boolean) => ({
  model: { namespaces: [{ image: 'disk.img', writable }] },
  hostFiles: files,
});

describe('the content of a namespace', () => {
  it('takes memory only where it was written, and gives it back when zeroed', () => {
    const namespace = new Namespace(1, 1024 ** 4, 512, null, false);
    const put = (position: number, byte: number): void => {
      expect(namespace.seekWrite(position, 512)).toBe(512);
      namespace.buffer?.fill(byte, namespace.at, namespace.at + 512);
    };
    put(0, 1);
    put(1024 ** 4 - 512, 2);
    expect(namespace.memoryBytes).toBe(2 * 65536);
    expect(namespace.zero(0, 65536)).toBe(true);
    expect(namespace.memoryBytes).toBe(65536);
    put(65536, 3); // reuses the memory, which must be clean again
    namespace.seekRead(65536 + 512, 512);
    expect(namespace.buffer?.[namespace.at]).toBe(0);
    namespace.seekRead(0, 512);
    expect(namespace.buffer).toBeNull();
  });

  it('is cut at extents, so that each piece lies together', () => {
    const namespace = new Namespace(1, 1024 ** 2, 512, null, false);
    expect(namespace.seekRead(65536 - 512, 4096)).toBe(512);
    expect(namespace.seekRead(65536, 4096)).toBe(4096);
    expect(namespace.seekWrite(65536 - 1024, 4096)).toBe(1024);
  });
});

describe('an image file as content', () => {
  it('is read through; writes to a read-only one stay in memory', () => {
    const files = new MemoryFiles(pattern(7, 1024 * 1024));
    const original = files.content.slice();
    const bed = driverBed(image(files, false));
    expect(bed.machine.disk('nvme0n1').capacitySectors).toBe(2048);
    const buffer = bed.buffer(0x4000);
    bed.store(buffer, new Uint8Array(4096).fill(9));
    expect(bed.write(buffer, 4096, 8)).toBe(4096);
    expect(bed.disk.discard(1024, 128, 0, 1)).toBe(0);
    bed.advance('10ms');
    expect(bed.read(buffer, 0x4000, 0)).toBe(0x4000);
    const expected = original.slice(0, 0x4000);
    expected.fill(9, 4096, 8192);
    expect(Buffer.compare(bed.load(buffer, 0x4000), expected)).toBe(0);
    expect(bed.read(buffer, 4096, 1024)).toBe(4096);
    expect(bed.load(buffer, 4096).every((byte) => byte === 0)).toBe(true);
    expect(Buffer.compare(files.content, original)).toBe(0);
    bed.close();
  });

  it('gets what is written when it is writable, and is flushed when the disk is', () => {
    const files = new MemoryFiles(pattern(7, 1024 * 1024));
    const bed = driverBed(image(files, true));
    const buffer = bed.buffer(4096);
    bed.store(buffer, new Uint8Array(4096).fill(9));
    expect(bed.write(buffer, 4096, 8)).toBe(4096);
    expect(files.content.slice(4096, 8192).every((byte) => byte === 9)).toBe(true);
    expect(files.flushes).toBe(0);
    expect(bed.run(bed.disk.sync())).toBe(0);
    expect(files.flushes).toBe(1);
    bed.close();
  });

  it('that cannot be opened is named, with what to do', () => {
    const model = { namespaces: [{ image: 'nowhere.img' }] };
    expect(() => driverBed({ model, hostFiles: new MemoryFiles(new Uint8Array(0)) })).toThrow(
      /IMAGE_UNREADABLE.*nowhere\.img/,
    );
    expect(() => driverBed(image(new MemoryFiles(new Uint8Array(0)), false))).toThrow(/IMAGE_UNREADABLE.*no room/);
    expect(() => driverBed(image(new MemoryFiles(new Uint8Array(512), false), true))).toThrow(/IMAGE_UNREADABLE/);
  });

  it('that fails while in use gives a media error', () => {
    const files = new MemoryFiles(pattern(7, 1024 * 1024));
    const bed = controllerBed({ namespaces: [{ image: 'disk.img' }] }, files);
    bed.host.start();
    const { iova } = bed.host.memory(4096);
    files.failing = true;
    expect(bed.host.blocks(2, 0, 1, iova)).toBe('2/81');
    expect(bed.host.blocks(1, 0, 1, iova)).toBe('2/80');
    files.failing = false;
    expect(bed.host.blocks(2, 0, 1, iova)).toBe('0/00');
    bed.unplug();
    expect(files.closed).toBe(1);
    bed.close();
  });
});
