import { defineMachine, machineJsonSchema, parseMachine, parseMachineText, pinSchemeOf } from '@pincushion/machine';
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
      memory: {
        ram: 4 * 2 ** 30,
        pmem: 0,
        movable: 0,
        cma: 0,
        swap: 0,
        hugetlb: { '2MiB': 0, '1GiB': 0 },
        thp: 'madvise',
        mthp: {
          '16KiB': 'never',
          '32KiB': 'never',
          '64KiB': 'never',
          '128KiB': 'never',
          '256KiB': 'never',
          '512KiB': 'never',
          '1MiB': 'never',
        },
        tlb: 'exact',
        writeback: {
          flusher: true,
          flushInterval: 5e9,
          dirtyExpire: 30e9,
          dirtyBackgroundRatio: 10,
          dirtyRatio: 20,
          pinned: 'linux',
        },
      },
      cpus: 4,
      kernel: '6.18',
      iommu: { mode: 'strict', flush: 10_000_000 },
      pci: {
        cpu: 'listed',
        hotplug: 0,
        rootComplexes: [{ name: 'rc0', hostBridge: '8086:09a2', ports: [] }],
      },
      ledger: 'counts',
      devices: [],
      mounts: [],
    });
  });

  it('counts pins as its kernel does unless it says otherwise', () => {
    expect(pinSchemeOf(parseMachine({}, 'x'))).toBe('bias');
    expect(pinSchemeOf(parseMachine({ kernel: '5.4' }, 'x'))).toBe('get-put');
    expect(pinSchemeOf(parseMachine({ kernel: '5.4', pinScheme: 'bias' }, 'x'))).toBe('bias');
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
    expect(problem({ memory: { movble: '1GiB' } })).toBe(
      'MACHINE_INVALID: machine.yaml: memory.movble is not known. Expected one of ram, pmem, movable, cma, swap, swapDevice, minFree, hugetlb, thp, mthp, tlb, writeback, directIo; got movble. Try movable.',
    );
    expect(problem({ devices: [{ name: 'a', plugin: 'p', cofnig: {} }] })).toContain(
      'machine.yaml: devices[0].cofnig is not known. Expected one of name, plugin, hardware, port, model, config; got cofnig. Try config.',
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
    expect(problem({ devices: [{ name: 'a' }] })).toContain('devices[0] is not allowed. Expected plugin or hardware');
  });

  it('names the nearest size of huge pages, and who may get transparent ones', () => {
    expect(problem({ memory: { hugetlb: { '2MB': 4 } } })).toContain(
      'memory.hugetlb.2MB is not known. Expected one of 2MiB, 1GiB; got 2MB. Try 2MiB.',
    );
    expect(problem({ memory: { hugetlb: { '1GiB': -1 } } })).toContain('Expected at least 0; got -1');
    expect(problem({ memory: { thp: 'allways' } })).toContain(
      'Expected one of "never", "madvise", "always"; got "allways". Try "always"',
    );
    expect(problem({ memory: { swap: '2TiB' } })).toContain('memory.swap is not allowed. Expected at most 1TiB');
    expect(problem({ memory: { mthp: { '64kB': 'always' } } })).toContain('memory.mthp.64kB is not known');
  });

  it('says how much of the memory each part can be at most', () => {
    const memory = { ram: '64MiB' };
    expect(problem({ memory: { ...memory, movable: '64MiB' } })).toBe(
      'MACHINE_INVALID: machine.yaml: memory.movable is too big for 64 MiB of memory. Expected at most 56 MiB; got 64 MiB.',
    );
    expect(problem({ memory: { ...memory, movable: '40MiB', cma: '20MiB' } })).toContain('at most 16 MiB; got 20 MiB');
    expect(problem({ memory: { ...memory, hugetlb: { '2MiB': 64 } } })).toContain(
      'memory.hugetlb.2MiB is too big for 64 MiB of memory. Expected at most 28; got 64',
    );
    expect(problem({ memory: { ...memory, hugetlb: { '1GiB': 1 } } })).toContain('at most 0; got 1');
    expect(parseMachine({ memory: { ...memory, movable: '56MiB' } }, 'x').memory.movable).toBe(56 * 2 ** 20);
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
