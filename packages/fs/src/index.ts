/** Files after Linux: inodes in the page cache with buffer heads, delayed allocation and writeback, a journal, over a store of blocks. */
export { FileSystem, openedAtOnce } from './file-system';
export type { FileSystemOptions, Opened } from './file-system';
export { isBlank } from './blank';
export { mountFileSystem, newFileSystem, newMemoryFileSystem } from './mount';
export type { Mounted, RecoveryFacts } from './mount';
export { checkFileSystem } from './check-file-system';
export type { Problem, ProblemCode } from './check-file-system';
export { makeFileSystem } from './make-file-system';
export type { MakeOptions } from './make-file-system';
export { FileDirectIo } from './direct-io';
export type { FileDirectIoCounts } from './direct-io';
export { DiskBlockStore } from './disk-block-store';
export { MemoryBlockStore } from './block-store';
export type { BlockStore } from './block-store';
