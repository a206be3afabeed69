/** Two programs at the same device at the same time: `npx pincushion run workload.ts --machine machine.yaml`. */
import type { Task } from '@pincushion/driver';
import type { WorkloadContext } from '@pincushion/workloads';
import { example } from './src/example';

export default function* workload(world: WorkloadContext): Task {
  world.spawn('first', program(world, 'first'));
  world.spawn('second', program(world, 'second'));
  yield* world.sleep(0);
}

function* program(world: WorkloadContext, name: string): Task {
  for (let round = 1; round <= 10; round++) {
    const result = yield* example(world.process(`${name} ${round}`), 'my-device0');
    world.expect(result >= 0, `round ${round} of the ${name} program goes well`);
    yield* world.sleep(world.choose(20_000));
  }
}
