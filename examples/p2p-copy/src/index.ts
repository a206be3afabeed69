/** A copy from SSD to SSD, through host memory and past it. */
export { copyBetweenDisks } from './copy';
export type { CopyReport, CopySetting } from './copy';
