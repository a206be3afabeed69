/**
 * The files of the host that hardware models may open (disk images): Node's synchronous calls, as a model reads and
 * writes in the middle of a device event. Relative paths start at the folder of the machine file, so that a machine and
 * its images move together. Left out: locking; two commands writing one image are the user's affair.
 */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import type { HostFile } from '@pincushion/driver';
import { HostFiles } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import { fileProblem } from './file-problem';

export class NodeHostFiles extends HostFiles {
  private readonly opened = new Set<NodeHostFile>();

  constructor(private readonly folder: string = process.cwd()) {
    super();
  }

  override open(path: string, options: { readonly writable?: boolean } = {}): HostFile {
    const file = new NodeHostFile(resolve(this.folder, path), options.writable ?? false);
    this.opened.add(file);
    return file;
  }

  /** True when a model has asked for a file. */
  get anyOpened(): boolean {
    return this.opened.size > 0;
  }

  /** What models have asked for so far. */
  get all(): readonly { readonly path: string; readonly size: number; readonly writable: boolean }[] {
    return [...this.opened];
  }

  /** Closes what is still open: for a command that ends early. */
  closeAll(): void {
    for (const file of this.opened) file.close();
  }
}

class NodeHostFile implements HostFile {
  readonly size: number;
  private fd: number;

  constructor(
    readonly path: string,
    readonly writable: boolean,
  ) {
    this.fd = this.attempt('opened', () => openSync(path, writable ? 'r+' : 'r'));
    const facts = fstatSync(this.fd);
    if (!facts.isFile()) {
      this.close();
      throw new UsageError('FILE_UNREADABLE', `${path} cannot be opened: it is no regular file`);
    }
    this.size = facts.size;
  }

  read(offset: number, into: Uint8Array): number {
    return this.attempt('read', () => {
      let done = 0;
      while (done < into.length) {
        const n = readSync(this.fd, into, done, into.length - done, offset + done);
        if (n === 0) break;
        done += n;
      }
      return done;
    });
  }

  write(offset: number, from: Uint8Array): void {
    this.attempt('written', () => {
      for (let done = 0; done < from.length;) {
        done += writeSync(this.fd, from, done, from.length - done, offset + done);
      }
    });
  }

  flush(): void {
    if (this.writable)
      this.attempt('flushed', () => {
        fsyncSync(this.fd);
      });
  }

  /** A second call does nothing. */
  close(): void {
    if (this.fd < 0) return;
    closeSync(this.fd);
    this.fd = -1;
  }

  private attempt<T>(what: string, call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw new UsageError('FILE_UNREADABLE', `${this.path} cannot be ${what}: ${fileProblem(error)}`, {
        cause: error,
      });
    }
  }
}
