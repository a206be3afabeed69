import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeHostFiles } from '../src/host-files';

describe('the files of the host', () => {
  let folder: string;
  let files: NodeHostFiles;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pincushion-files-'));
    writeFileSync(join(folder, 'disk.img'), 'abcdefgh');
    files = new NodeHostFiles(folder);
  });
  afterEach(() => {
    files.closeAll();
    rmSync(folder, { recursive: true, force: true });
  });

  it('are found from the folder of the machine file, and read short only at their end', () => {
    expect(files.anyOpened).toBe(false);
    const file = files.open('disk.img');
    expect(files.anyOpened).toBe(true);
    expect(file.size).toBe(8);
    const into = new Uint8Array(4);
    expect(file.read(2, into)).toBe(4);
    expect(Buffer.from(into).toString()).toBe('cdef');
    expect(file.read(6, into)).toBe(2);
  });

  it('are written in place when they were opened for that', () => {
    const file = files.open('disk.img', { writable: true });
    file.write(2, Buffer.from('XY'));
    file.flush();
    file.close();
    expect(readFileSync(join(folder, 'disk.img'), 'utf8')).toBe('abXYefgh');
  });

  it('are not written when they were opened for reading', () => {
    expect(() => {
      files.open('disk.img').write(0, Buffer.from('XY'));
    }).toThrow(/FILE_UNREADABLE: .*disk\.img cannot be written/);
    expect(readFileSync(join(folder, 'disk.img'), 'utf8')).toBe('abcdefgh');
  });

  it.each([
    ['nowhere.img', /there is no such file/],
    ['.', /no regular file/],
  ])('refuse %s', (path, message) => {
    expect(() => files.open(path)).toThrow(message);
  });

  it('may be closed twice', () => {
    const file = files.open('disk.img');
    file.close();
    expect(() => {
      files.closeAll();
    }).not.toThrow();
  });
});
