import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OutputFile } from '../src/output-file';

describe('an output file', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pincushion-output-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('appears under its name only when it is finished, and whole', () => {
    const path = join(folder, 'trace.json');
    const file = new OutputFile(path);
    const chunk = 'ä'.repeat(1000);
    for (let i = 0; i < 500; i++) file.write(chunk);
    expect(existsSync(path)).toBe(false);
    file.finish();
    expect(readFileSync(path, 'utf8')).toBe(chunk.repeat(500));
    expect(readdirSync(folder)).toEqual(['trace.json']);
  });

  it('leaves nothing when it is discarded, and the older file of that name as it was', () => {
    const path = join(folder, 'trace.json');
    writeFileSync(path, 'older');
    const file = new OutputFile(path);
    file.write('half');
    file.discard();
    expect(readdirSync(folder)).toEqual(['trace.json']);
    expect(readFileSync(path, 'utf8')).toBe('older');
  });

  it('is not taken back by a discard after the end', () => {
    const path = join(folder, 'trace.json');
    const file = new OutputFile(path);
    file.write('whole');
    file.finish();
    file.discard();
    expect(readFileSync(path, 'utf8')).toBe('whole');
  });

  it('refuses a folder that does not exist before any work is done', () => {
    expect(() => new OutputFile(join(folder, 'nowhere', 'trace.json'))).toThrow(
      /FILE_UNWRITABLE: .*trace\.json: cannot be written: there is no such file or folder/,
    );
  });
});
