import { defineMachine, machineJsonSchema, parseMachine, parseMachineText } from '@pincushion/machine';
import { UsageError } from '@pincushion/sim';

function problem(input: unknown): string {
  try {
    parseMachine(input, 'machine.yaml');
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error('the description was accepted');
}

describe('a machine description', () => {
  it('has a default for everything', () => {
    expect(parseMachine({}, 'none')).toEqual({
      memory: { ram: 4 * 2 ** 30, pmem: 0, movable: 0 },
      cpus: 4,
      kernel: '6.18',
      iommu: { mode: 'strict', flush: 10_000_000 },
      ledger: 'counts',
      devices: [],
    });
  });

  it('takes sizes and durations with units', () => {
    const { memory, iommu } = parseMachine(
      { memory: { ram: '512MiB', pmem: '1GiB' }, iommu: { mode: 'lazy', flush: '2ms' } },
      'x',
    );
    expect([memory.ram, memory.pmem, iommu.flush]).toEqual([2 ** 29, 2 ** 30, 2_000_000]);
  });

  it('in TypeScript is what defineMachine was given', () => {
    expect(parseMachine(defineMachine({ cpus: 2 }), 'machine.ts').cpus).toBe(2);
  });

  it('stays the same when it is checked again', () => {
    const once = parseMachine({ memory: { ram: '1GiB' }, devices: [{ name: 'nvme0', plugin: 'p' }] }, 'x');
    expect(parseMachine(once, 'x')).toEqual(once);
  });

  it('names path, known fields and the nearest one for a wrong field', () => {
    expect(problem({ memory: { rma: '1GiB' } })).toBe(
      'MACHINE_INVALID: machine.yaml: memory.rma is not known. Expected one of ram, pmem, movable; got rma. Try ram.',
    );
    expect(problem({ devices: [{ name: 'a', plugin: 'p', cofnig: {} }] })).toContain(
      'machine.yaml: devices[0].cofnig is not known. Expected one of name, plugin, hardware, model, config; got cofnig. Try config.',
    );
  });

  it('names value and what is allowed', () => {
    expect(problem({ memory: { ram: '4 parsecs' } })).toContain(
      'memory.ram is not allowed. Expected a size of at least 0, such as 4GiB, 512MiB or 0; got "4 parsecs"',
    );
    expect(problem({ memory: { ram: '1MiB' } })).toContain(
      'memory.ram is not allowed. Expected at least 8MiB; got "1MiB"',
    );
    expect(problem({ memory: { ram: true } })).toContain('Expected a string or a number; got true');
    expect(problem({ cpus: 0 })).toContain('cpus is too small. Expected at least 1; got 0');
    expect(problem({ cpus: 2.5 })).toContain('cpus has the wrong type. Expected a whole number; got 2.5');
    expect(problem({ pinScheme: 'bais' })).toContain('Expected one of "bias", "get-put"; got "bais". Try "bias"');
    expect(problem({ iommu: { flush: '-1ms' } })).toContain('iommu.flush is not allowed');
    expect(problem({ devices: [{ name: 'Bad name', plugin: 'p' }] })).toContain('devices[0].name is not allowed');
    expect(problem({ devices: [{ name: 'a' }] })).toContain('devices[0].plugin is missing');
  });

  it('refuses two devices with one name, and says where they are', () => {
    const devices = [
      { name: 'nvme0', plugin: 'p' },
      { name: 'nic0', plugin: 'p' },
      { name: 'nvme0', plugin: 'q' },
    ];
    expect(problem({ devices })).toMatch(/DEVICE_DUPLICATE: machine.yaml: .*nvme0.*devices\[0\] and devices\[2\]/);
  });

  it('can be YAML or JSON', () => {
    expect(parseMachineText('cpus: 2\nmemory:\n  ram: 64MiB\n', 'm.yaml').cpus).toBe(2);
    expect(parseMachineText('{"cpus": 3}', 'm.json').cpus).toBe(3);
    expect(parseMachineText('', 'empty.yaml').cpus).toBe(4);
  });

  it('that is no YAML is refused with line and column', () => {
    expect(() => parseMachineText('cpus: 2\nmemory: [1\n', 'm.yaml')).toThrow(
      /MACHINE_INVALID: m\.yaml:\d+:\d+ cannot be read/,
    );
    expect(() => parseMachineText('a: 1\na: 2\n', 'm.yaml')).toThrow(/m\.yaml:2:1 cannot be read.*unique/);
    expect(() => parseMachineText('just words', 'm.yaml')).toThrow('MACHINE_INVALID: m.yaml has the wrong type');
  });

  it('has a JSON Schema for editors, of what may be written', () => {
    const schema = machineJsonSchema() as { properties: Record<string, { description?: string }>; required?: string[] };
    expect(Object.keys(schema.properties)).toEqual(
      expect.arrayContaining(['memory', 'cpus', 'pinScheme', 'iommu', 'ledger', 'devices']),
    );
    expect(schema.properties['cpus'].description).toBe('Number of CPUs.');
    expect(schema.required ?? []).toEqual([]);
  });
});
