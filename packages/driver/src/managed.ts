/**
 * What a device owns: a stack of resources, released newest first, each exactly once; one failing release does not stop
 * the others.
 * Source followed: `devres_release_all` (`drivers/base/devres.c`).
 */
import type { Task } from '@pincushion/sim';
import { PincushionError } from '@pincushion/sim';

/** A resource that belongs to a device. */
export interface Managed {
  /** What it is, for reports: "interrupt 0", "mapping of 16 pages at 0x1000". */
  readonly what: string;
  /** Gives it back. Called once, in task context; a task when it may have to sleep. */
  release(): Task | undefined;
}

export class Owned {
  private readonly resources: Managed[] = [];

  add(resource: Managed): void {
    if (this.resources.includes(resource)) {
      throw new PincushionError('DEVICE_INVALID', `${resource.what} is owned twice`, {
        expected: 'each resource is handed to own() once',
        actual: 'the same object a second time',
        hint: 'owning what a service returns in the statement that creates it, and nowhere else',
      });
    }
    this.resources.push(resource);
  }

  has(resource: Managed): boolean {
    return this.resources.includes(resource);
  }

  get count(): number {
    return this.resources.length;
  }

  list(): readonly string[] {
    return this.resources.map((resource) => resource.what);
  }

  *release(resource: Managed): Task {
    const at = this.resources.lastIndexOf(resource);
    if (at < 0) return; // Given back already, by a removal that ran meanwhile.
    this.resources.splice(at, 1);
    const task = resource.release();
    if (task !== undefined) yield* task;
  }

  /** Releases everything, newest first. `failed` hears of each release that threw; the others still run. */
  *releaseAll(failed: (resource: Managed, error: unknown) => undefined): Task {
    for (let resource = this.resources.pop(); resource !== undefined; resource = this.resources.pop()) {
      try {
        const task = resource.release();
        if (task !== undefined) yield* task;
      } catch (error) {
        failed(resource, error);
      }
    }
  }
}
