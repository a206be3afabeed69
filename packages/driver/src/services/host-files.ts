/**
 * Files of the host, for hardware models that keep their content in one (a disk image).
 *
 * The machine itself touches no file: whoever runs it hands in an implementation. The default refuses.
 */
import { UsageError } from '@pincushion/sim';

export interface HostFile {
  /** Bytes. */
  readonly size: number;
  /** Fills `into` from `offset`; returns the bytes read, fewer only at the end of the file. */
  read(offset: number, into: Uint8Array): number;
  write(offset: number, from: Uint8Array): void;
  flush(): void;
  close(): void;
}

export abstract class HostFiles {
  /** Throws `UsageError` HOST_FILES_REFUSED where none are offered, and IMAGE_UNREADABLE or FILE_UNREADABLE when the file cannot be opened. */
  abstract open(path: string, options?: { readonly writable?: boolean }): HostFile;
}

/** What a machine has unless it is given something else. */
export class RefusingHostFiles extends HostFiles {
  override open(path: string): HostFile {
    throw new UsageError('HOST_FILES_REFUSED', `${path} cannot be opened: this machine was given no host files`, {
      expected: 'a HostFiles implementation in the options of Machine.boot or testDevice',
      actual: 'none',
      hint: 'a HostFiles of your own; the command pincushion brings one',
    });
  }
}
