/** `run --paranoid`: looks now and then whether anything in the memory of a machine contradicts itself. */
import type { Machine } from '@pincushion/machine';
import { memoryContradictions } from '@pincushion/mm';

/** Contradictions that a finding lists. */
const TOLD_MOST = 5;

export class Paranoia {
  private hasFound = false;

  constructor(private readonly machine: Pick<Machine, 'memory' | 'world'>) {}

  /** Walks all memory. What contradicts itself becomes a finding, once: what comes after it is most likely its doing. */
  look(): void {
    if (this.hasFound) return;
    const { memory, world } = this.machine;
    const found = memoryContradictions(memory);
    if (found.length === 0) return;
    this.hasFound = true;
    world.findings.report({
      code: 'MEMORY_INVALID',
      summary: `memory contradicts itself: ${found[0]}`,
      sites: [],
      details: found.slice(1, TOLD_MOST),
    });
  }
}
