/** Reads a whole file of the user; whatever is wrong with it is a UsageError that names the path. */
import { readFileSync } from 'node:fs';
import { UsageError } from '@pincushion/sim';
import { fileProblem } from './file-problem';

export function readUserFile(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError('FILE_UNREADABLE', `${path}: the ${what} cannot be read: ${fileProblem(error)}`, {
      cause: error,
    });
  }
}
