/** What files hold, as the model beside a workload knows it. */
/** What a file held after an operation. */
interface Version {
  readonly operation: number;
  readonly bytes: Uint8Array;
}

/** A file as the model knows it; its names come and go. */
export interface ModelFile {
  readonly ino: number;
  readonly versions: Version[];
  /** Operations that have synced it, and those that tried, or wrote it out without a promise. */
  readonly synced: number[];
  readonly asked: number[];
}

/** By path: a file, or null for a directory. */
export type Tree = ReadonlyMap<string, ModelFile | null>;

/** A workload between two operations, while the file system is unmounted. */
export interface Pause {
  readonly operation: number;
  readonly seed: number;
  readonly filesMade: number;
  readonly tree: Tree;
}

/** A model that goes its own way from here. */
export function copyOf(tree: Tree): Map<string, ModelFile | null> {
  const copies = new Map<ModelFile, ModelFile>();
  return new Map(
    [...tree].map(([path, file]) => {
      if (file === null) return [path, null];
      const { ino, versions, synced, asked } = file;
      const copy = copies.get(file) ?? { ino, versions: [...versions], synced: [...synced], asked: [...asked] };
      copies.set(file, copy);
      return [path, copy];
    }),
  );
}

/** What a file holds now. */
export function lastOf({ versions }: ModelFile): Uint8Array {
  return versions[versions.length - 1].bytes;
}

/** Cut, or longer by zeros. */
export function resized(bytes: Uint8Array, size: number): Uint8Array {
  const after = new Uint8Array(size);
  after.set(bytes.subarray(0, size));
  return after;
}

export function joined(...parts: Uint8Array[]): Uint8Array {
  const after = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    after.set(part, at);
    at += part.length;
  }
  return after;
}
