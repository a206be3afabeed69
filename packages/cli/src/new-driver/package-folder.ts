/** The folder of a new package: there whole or not at all, and never over something that is there already. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '@pincushion/sim';
import { fileProblem } from '../file-problem';
import type { NewFile } from './template';

/** Throws `UsageError` FOLDER_NOT_EMPTY when there is something at `path` already. */
export function checkFree(path: string, shown: string): void {
  let inside: readonly string[];
  try {
    inside = readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw unwritable(shown, error);
  }
  if (inside.length === 0) return;
  throw new UsageError('FOLDER_NOT_EMPTY', `${shown} is there already, and nothing in it is overwritten`, {
    expected: 'a folder that is empty, or not there yet',
    actual: `${inside.length} files or folders, such as ${inside.slice(0, 2).join(', ')}`,
    hint: 'another name, or --dir with another folder',
  });
}

/**
 * Writes all files under another name first, and then moves them to their place. A folder that is there already stays the same
 * one: a shell may be in it. Throws `UsageError` FILE_UNWRITABLE, and leaves nothing behind then.
 */
export function writeFolder(path: string, shown: string, files: readonly NewFile[]): void {
  const there = existsSync(path);
  const part = `.${basename(path)}.${process.pid}.part`;
  const temporary = join(there ? path : dirname(path), part);
  try {
    mkdirSync(temporary, { recursive: true });
    for (const file of files) {
      mkdirSync(dirname(join(temporary, file.path)), { recursive: true });
      writeFileSync(join(temporary, file.path), file.text);
    }
    if (there) moveContent(temporary, path);
    else renameSync(temporary, path);
  } catch (error) {
    const moved = there ? files.map((file) => join(path, file.path.split('/')[0])) : [];
    for (const left of [temporary, ...moved]) rmSync(left, { recursive: true, force: true });
    throw unwritable(shown, error);
  }
}

function moveContent(from: string, to: string): void {
  for (const name of readdirSync(from)) renameSync(join(from, name), join(to, name));
  rmdirSync(from);
}

function unwritable(shown: string, error: unknown): UsageError {
  return new UsageError('FILE_UNWRITABLE', `${shown}: cannot be written: ${fileProblem(error)}`, {
    expected: 'a folder that is empty or not there yet, where files may be written',
    cause: error,
  });
}
