import type { ExampleProgram } from '@pincushion/driver';
import { EIO, driverMeta } from '@pincushion/driver';
import { problemKind, verifyDriver } from '@pincushion/testing';
import { PLANTED } from './planted';
import { TaggedPort, TaggedPortHardware } from './planted/completion-bugs';
import { DiskDriver, diskExample } from './planted/disk-bugs';
import { TrustsInterrupts } from './planted/lifetime-bugs';
import { KeepsPinWhenMappingFails, KeepsPinWhenProbeFails } from './planted/memory-bugs';
import { Port, PortHardware, portExample } from './planted/port';
import { plugin as planted } from './planted/plugin';

const hardware = PortHardware;

describe('verifyDriver', () => {
  it.each(PLANTED.map((bug) => [driverMeta(bug.driver)?.name, bug] as const))(
    'names the bug of the driver that %s, and the trial repeats it',
    (_name, { driver, hardware, example, code, check }) => {
      const { problems } = verifyDriver(driver, { hardware, example, limit: 20, stepsMax: 5000, only: check });
      const found = problems.find((problem) => problem.code === code);
      expect(found === undefined ? problems : found.code).toBe(code);
      const again = verifyDriver(driver, { hardware, example, stepsMax: 5000, only: found?.trial ?? '' });
      expect(again.problems.map(problemKind)).toContain(found === undefined ? '' : problemKind(found));
    },
  );

  it.each([
    [Port, hardware, portExample],
    [DiskDriver, hardware, diskExample],
    [TaggedPort, TaggedPortHardware, portExample],
  ])('finds nothing in a correct driver: %p', (driver, hardware, example) => {
    const { problems, checks } = verifyDriver(driver, { hardware, example, limit: 5 });
    expect(problems).toEqual([]);
    expect(checks.length).toBeGreaterThan(12);
    expect(checks.map(({ failed }) => failed)).not.toContain(1);
  });

  it('gives the shortest schedule that has the problem, and how often it was there', () => {
    const { problems } = verifyDriver(KeepsPinWhenMappingFails, { hardware, example: portExample, only: 'fail-map' });
    const [{ code, trial, trials }] = problems;
    expect(code).toBe('PIN_LEAK');
    const step = Number(trial.split('@')[1]);
    expect(step).toBeGreaterThan(1);
    expect(trials).toBe(1);
    for (let before = 1; before < step; before++) {
      const only = `fail-map@${before}`;
      const earlier = verifyDriver(KeepsPinWhenMappingFails, { hardware, example: portExample, only });
      expect(earlier.problems).toEqual([]);
    }
  });

  it('finds the shortest schedule also when it was left out at first, and still counts what it was to try', () => {
    const options = { hardware, example: portExample, only: 'fail-alloc' };
    const all = verifyDriver(KeepsPinWhenProbeFails, options).problems;
    const few = verifyDriver(KeepsPinWhenProbeFails, { ...options, limit: 3 });
    expect(few.problems.map(({ trial }) => trial)).toEqual(all.map(({ trial }) => trial));
    expect(all[0].trial).toBe('fail-alloc@2');
    expect(few.checks).toMatchObject([{ tried: 3 }]);
  });

  it('tries evenly spread trials when there are more than the limit', () => {
    const tried: string[] = [];
    const onTrial = (name: string): void => void tried.push(name);
    const { checks } = verifyDriver(Port, { hardware, example: portExample, only: 'unplug', limit: 3, onTrial });
    const [{ possible }] = checks;
    expect(possible).toBeGreaterThan(3);
    expect(tried).toEqual(['survey', 'unplug@1', `unplug@${Math.round((1 + possible) / 2)}`, `unplug@${possible}`]);
  });

  it('holds an example that fails by itself against the plugin, and only when nothing was done to the driver', () => {
    const failing: ExampleProgram = function* () {
      return -EIO;
    };
    const { problems } = verifyDriver(Port, { hardware, example: failing, limit: 4 });
    expect(problems).toMatchObject([{ code: 'EXAMPLE_FAILED', trial: 'example@1', trials: 2 }]);
  });

  it('verifies probe and removal of a driver without an example', () => {
    const { checks, problems } = verifyDriver(TrustsInterrupts, { hardware, limit: 4 });
    expect(problems).toEqual([]);
    expect(checks.map(({ name }) => name)).toEqual([
      'example',
      'rebind',
      'fail-alloc',
      'fail-map',
      'fail-register',
      'unplug',
      'unbind',
    ]);
  });

  it('leaves out checks', () => {
    const { checks } = verifyDriver(Port, { hardware, only: 'unplug', skip: ['unplug'] });
    expect(checks).toEqual([]);
  });

  it('gives the same report for the same seed', () => {
    const [driver] = planted.drivers;
    const report = () => verifyDriver(driver, { hardware, example: portExample, only: 'two-programs', seed: 7 });
    expect(report()).toEqual(report());
    expect(report().seed).toBe(7);
  });

  it('refuses checks and trials that do not exist', () => {
    expect(() => verifyDriver(Port, { hardware, only: 'unplugg' })).toThrow(/ARGUMENT_INVALID.*Try unplug\./);
    expect(() => verifyDriver(Port, { hardware, only: 'unplug@0' })).toThrow(/unplug@1/);
    expect(() => verifyDriver(Port, { hardware, only: 'rebind@2' })).toThrow(/rebind@1 to rebind@1/);
  });
});
