/**
 * A file that is there whole or not at all: written under a temporary name in the same folder and renamed at the end.
 * Whatever ends the command early must call `discard`, which leaves no trace.
 */
import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { UsageError } from '@pincushion/sim';
import { fileProblem } from './file-problem';

/** Text is gathered up to this many characters before it goes to the host. */
const GATHER_CHARACTERS = 1 << 18;

export class OutputFile {
  private readonly temporary: string;
  private readonly fd: number;
  private gathered = '';
  private open = true;

  /** Throws a UsageError (FILE_UNWRITABLE) when the folder is missing or not writable: before any work was done. */
  constructor(private readonly path: string) {
    this.temporary = `${path}.${process.pid}.part`;
    try {
      this.fd = openSync(this.temporary, 'wx');
    } catch (error) {
      throw new UsageError('FILE_UNWRITABLE', `${path}: cannot be written: ${fileProblem(error)}`, {
        expected: 'a file in a folder that exists and may be written',
        cause: error,
      });
    }
  }

  write(chunk: string): void {
    this.gathered += chunk;
    if (this.gathered.length >= GATHER_CHARACTERS) this.flush();
  }

  /** Ends the file and gives it its name. */
  finish(): void {
    if (!this.open) return;
    this.flush();
    this.close();
    renameSync(this.temporary, this.path);
  }

  /** Removes what was written so far; does nothing after `finish`. */
  discard(): void {
    if (!this.open) return;
    this.close();
    rmSync(this.temporary, { force: true });
  }

  private flush(): void {
    const bytes = Buffer.from(this.gathered, 'utf8');
    this.gathered = '';
    for (let at = 0; at < bytes.length;) at += writeSync(this.fd, bytes, at);
  }

  private close(): void {
    this.open = false;
    closeSync(this.fd);
  }
}
