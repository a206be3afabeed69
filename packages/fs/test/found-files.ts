/** What is found in a file system: names and content, and whether content is made of what it may be. */
import type { MappableFile } from '@pincushion/mm';
import type { World } from '@pincushion/sim';
import type { FileSystem, Opened } from '../src/index';

/** What a device writes whole or not at all. */
const SECTOR_BYTES = 512;

/** All of a file. */
export function contentOf(world: World, fs: FileSystem, path: string): Uint8Array {
  const file = openedIn(world, fs.open(path));
  if (typeof file === 'number') throw new Error(`${path} cannot be opened: ${file}`);
  const bytes = new Uint8Array(file.size);
  expect(world.settle(file.read(0, bytes, 0, bytes.length))).toBe(bytes.length);
  file.close();
  return bytes;
}

/** The file that was opened, or -errno. */
export function openedIn(world: World, result: Opened): MappableFile | number {
  return typeof result === 'number' || 'mapping' in result ? result : world.complete(result);
}

/** The paths of everything below a directory, directories first. */
export function allPaths(world: World, fs: FileSystem, directory: string): string[] {
  const names: string[] = [];
  if (world.settle(fs.readdir(directory, names)) < 0) return [];
  return names.flatMap((name) => {
    const path = directory === '/' ? `/${name}` : `${directory}/${name}`;
    return [path, ...allPaths(world, fs, path)];
  });
}

/** Whether a tree has these paths and no others. */
export function isTreeOf(tree: ReadonlyMap<string, unknown>, paths: readonly string[]): boolean {
  return tree.size === paths.length && paths.every((path) => tree.has(path));
}

/** What is wrong with content each sector of which must be that of one of some versions, in words; '' when nothing is. */
export function sectorOfNone(found: Uint8Array, versions: readonly Uint8Array[]): string {
  const sizes = versions.map(({ length }) => length);
  if (found.length < Math.min(...sizes) || found.length > Math.max(...sizes))
    return `${found.length} bytes, and it had ${sizes.join(', ')}`;
  for (let at = 0; at < found.length; at += SECTOR_BYTES) {
    const end = Math.min(found.length, at + SECTOR_BYTES);
    if (!versions.some((bytes) => isPart(found, bytes, at, end)))
      return `bytes ${at} to ${end - 1} are of no version: ${found.subarray(at, at + 4).join(' ')} …`;
  }
  return '';
}

/** Whether `bytes` has the same from `at` to `end`; zeros behind its end. */
function isPart(found: Uint8Array, bytes: Uint8Array, at: number, end: number): boolean {
  for (let i = at; i < end; i++) if (found[i] !== (i < bytes.length ? bytes[i] : 0)) return false;
  return true;
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
