import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ChoiceSource, UsageError } from '@pincushion/sim';
import { codeIdentity } from '../src/replay/code-identity';
import { pack, unpack } from '../src/replay/packed';
import { parseReplay } from '../src/replay/replay-file';

const folder = mkdtempSync(join(tmpdir(), 'pincushion-replay-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function file(path: string, content: string): string {
  const absolute = join(folder, path);
  mkdirSync(dirname(absolute), { recursive: true });
  writeFileSync(absolute, content);
  return absolute;
}

const GOOD = {
  schemaVersion: 1,
  made: { pincushion: '0.1.0', api: 1, node: 'v20.19.0', platform: 'linux x64' },
  expected: [{ code: 'MEMORY_INVALID', of: '', summary: 'C1 sees 1 in A[0]', times: 1 }],
  subject: { command: 'fuzz', seed: 1, program: 7, kernel: '5.4', scenario: 'mmap A anon 1; fork C1' },
  trail: { text: 'pincushion-trail 1\nend 0 0 00000000\n' },
};

describe('a replay file', () => {
  it('is read as it was written', () => {
    expect(parseReplay(Buffer.from(JSON.stringify(GOOD)), 'good')).toEqual(GOOD);
  });

  it('that was damaged anywhere is read or refused with a code, and nothing else happens', () => {
    const random = new ChoiceSource(1).stream('damage');
    const good = JSON.stringify(GOOD);
    const spoils = ['', '"', '}', '[', 'null', '-1', '1e999', '{"a":1}', '\0', '\ud800', '9'.repeat(400), '__proto__'];
    let refused = 0;
    for (let i = 0; i < 500; i++) {
      const from = random.below(good.length);
      const to = Math.min(good.length, from + random.below(12));
      const damaged = good.slice(0, from) + spoils[random.below(spoils.length)] + good.slice(to);
      try {
        parseReplay(Buffer.from(damaged), 'damaged');
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        expect((error as UsageError).code).toBe('REPLAY_INVALID');
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(250);
  });

  it('whose values have other types is refused with the path of the first', () => {
    const others: readonly unknown[] = [null, 7, -1, 'x', [], {}, true, [null], { command: 'run' }];
    for (const name of Object.keys(GOOD)) {
      for (const other of others) {
        const text = JSON.stringify({ ...GOOD, [name]: other });
        if (name === 'trail' && (other === null || JSON.stringify(other) === '{}')) continue;
        expect(() => parseReplay(Buffer.from(text), 'odd')).toThrow(UsageError);
        expect(() => parseReplay(Buffer.from(text), 'odd')).toThrow(/^REPLAY_INVALID: odd[:.]/);
      }
    }
  });

  it('larger than any that is written is not even parsed', () => {
    expect(() => parseReplay(Buffer.alloc(65 * 1024 * 1024, 0x20), 'huge')).toThrow(/REPLAY_INVALID.*at most 64 MiB/);
  });
});

describe('content carried in a replay file', () => {
  it.each([
    ['short text, readable', Buffer.from('[job]\nrw=read\n'), 'text'],
    ['nothing', Buffer.alloc(0), 'text'],
    ['long text, packed', Buffer.from('Q WS 2184 + 8\n'.repeat(5000)), 'gzip'],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x80, 0x0a]), 'gzip'],
    ['a gzip', gzipSync(Buffer.from('trace')), 'gzip'],
  ])('comes back as it was: %s', (_what, content, form) => {
    const packed = pack(content);
    expect(Object.keys(packed ?? {})).toEqual([form]);
    expect(packed !== null && unpack(packed, 'it').equals(content)).toBe(true);
  });

  it.each([
    [{}, /it is there in no form/],
    [{ text: 'a', gzip: 'YQ==' }, /it is there in two forms/],
    [{ gzip: 'YQ==' }, /it cannot be unpacked/],
  ])('that cannot be unpacked is refused: %j', (packed, message) => {
    expect(() => unpack(packed, 'it')).toThrow(UsageError);
    expect(() => unpack(packed, 'it')).toThrow(message);
  });
});

describe('the identity of a module', () => {
  const nic = file('nic/src/index.ts', "export { Nic } from './nic';\nimport { z } from 'zod';\n");
  const driver = file('nic/src/nic.ts', 'export class Nic {}\n');
  file('nic/package.json', '{ "name": "my-nic", "version": "1.2.3" }');

  it('has the package, its version, and a checksum of the file and all it imports by relative paths', () => {
    const before = codeIdentity('./nic', nic);
    expect(before).toMatchObject({ name: './nic', package: 'my-nic', version: '1.2.3' });
    writeFileSync(driver, 'export class Nic { mended = true }\n');
    const after = codeIdentity('./nic', nic);
    expect(after.sha256).not.toBe(before.sha256);
    writeFileSync(driver, 'export class Nic {}\r\n');
    expect(codeIdentity('./nic', nic)).toEqual(before);
  });

  it('is the same for a compiled copy that brings its sources, and by a relative path', () => {
    const compiled = file('nic/dist/index.js', 'exports.Nic = 1;\n');
    expect(codeIdentity('x', compiled)).toEqual(codeIdentity('x', nic));
    expect(codeIdentity('x', relative(process.cwd(), nic))).toEqual(codeIdentity('x', nic));
  });

  it('does not depend on what is beside it or missing, and follows a circle once', () => {
    const alone = file('alone/a.cjs', "require('./b.cjs'); require('./gone.cjs');\n");
    file('alone/b.cjs', "require('./a.cjs');\n");
    const before = codeIdentity('a', alone);
    file('alone/c.cjs', '');
    expect(codeIdentity('a', alone)).toEqual(before);
  });
});
