import { parseConfig } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import { z } from 'zod';

const Schema = z.strictObject({
  queueDepth: z.number().int().min(1).max(4096).default(64),
  mode: z.enum(['poll', 'interrupt']).default('interrupt'),
  name: z.string(),
  queues: z.array(z.strictObject({ cpu: z.int() })).default([]),
});

function problem(input: unknown): string {
  try {
    parseConfig(Schema, input, { code: 'DRIVER_CONFIG_INVALID', where: 'config', device: 'nic0' });
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error('the configuration was accepted');
}

describe('parseConfig', () => {
  it('fills in defaults', () => {
    const config = parseConfig(Schema, { name: 'a' }, { code: 'DRIVER_CONFIG_INVALID', where: 'config' });
    expect(config).toEqual({ name: 'a', queueDepth: 64, mode: 'interrupt', queues: [] });
  });

  it('names the path, the known fields and the nearest one for a field that is not known', () => {
    expect(problem({ name: 'a', queueDepht: 3 })).toBe(
      'DRIVER_CONFIG_INVALID: config.queueDepht is not known (device nic0). ' +
        'Expected one of queueDepth, mode, name, queues; got queueDepht. Try queueDepth.',
    );
  });

  it('suggests nothing when no known field is near', () => {
    expect(problem({ name: 'a', somethingElse: 3 })).not.toContain('Try');
  });

  it('names value and limits of a number out of range', () => {
    expect(problem({ name: 'a', queueDepth: 5000 })).toContain(
      'config.queueDepth is too big (device nic0). Expected at most 4096; got 5000',
    );
    expect(problem({ name: 'a', queueDepth: 0 })).toContain('Expected at least 1; got 0');
  });

  it('names the allowed values and the nearest one', () => {
    expect(problem({ name: 'a', mode: 'intrrupt' })).toContain(
      'config.mode has an unknown value (device nic0). Expected one of "poll", "interrupt"; got "intrrupt". Try "interrupt"',
    );
  });

  it('tells a missing field from one of the wrong type', () => {
    expect(problem({})).toContain('config.name is missing (device nic0). Expected a string; got nothing');
    expect(problem({ name: 7 })).toContain('config.name has the wrong type (device nic0). Expected a string; got 7');
  });

  it('gives the place in an array', () => {
    expect(problem({ name: 'a', queues: [{ cpu: 1 }, { cpus: 2 }] })).toContain('config.queues[1].cpu is missing');
  });

  it('counts further problems', () => {
    expect(problem({ queueDepth: 0, mode: 'x' })).toContain(', and 2 more');
  });

  it('refuses what is no object at all', () => {
    expect(problem(7)).toContain('Expected an object; got 7');
  });
});
