/** Direct I/O that pins its pages, or holds them by plain references: what that costs, and what others make of them. */
export { DISTURBANCES, disturb } from './in-flight';
export type { Disturbance, Disturbed } from './in-flight';
export { runJob } from './job';
export type { JobCosts } from './job';
