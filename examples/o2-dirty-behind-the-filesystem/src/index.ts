/** A page that a driver marks dirty after its file system has forgotten it. */
export { dirtyBehindTheFileSystem } from './dirty-behind';
export type { Moment, Outcome, Setting } from './dirty-behind';
