/** Files after Linux: inodes in the page cache with buffer heads, delayed allocation and writeback, over a store of blocks. */
export { FileSystem } from './file-system';
export type { FileSystemOptions } from './file-system';
export { MemoryBlockStore } from './block-store';
export type { BlockStore } from './block-store';
