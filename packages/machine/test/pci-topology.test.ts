import { definePlugin } from '@pincushion/driver';
import type { MachineInput } from '@pincushion/machine';
import { Machine, machineJsonSchema, parseMachine, parseMachineText, pciRoute } from '@pincushion/machine';
import { World } from '@pincushion/sim';
import { MemoryCard, MemoryCardHardware } from './memory-card';

const plugin = definePlugin({ name: 'peers', api: 1, drivers: [MemoryCard], hardware: [MemoryCardHardware] });

const TREE = `
pci:
  rootComplexes:
    - name: rc0
      ports:
        - name: rp0
          switch:
            name: sw0
            ports:
              - { name: p0 }
              - { name: p1, acs: [request-redirect, egress-control] }
              - { name: p2, switch: { name: sw1, ports: [{ name: q0 }] } }
    - { name: rc1, hostBridge: 1022:1480, ports: [{ name: rp1 }] }
devices:
  - { name: card0, hardware: memory-card, port: p0 }
  - { name: card1, hardware: memory-card, port: q0, model: { memory: 8MiB } }
  - { name: card2, hardware: memory-card }
`;

function problem(input: unknown): string {
  try {
    parseMachine(input, 'machine.yaml');
  } catch (error) {
    return String(error).replace('UsageError: ', '');
  }
  throw new Error('the description was accepted');
}

function boot(text: string | MachineInput): Machine {
  const world = new World();
  const description = typeof text === 'string' ? parseMachineText(text, 'test') : parseMachine(text, 'test');
  return world.complete(Machine.boot(world, description, { plugins: [plugin] }));
}

describe('the PCI tree of a machine description', () => {
  it('says where devices are, and stays the same when it is checked again', () => {
    const description = parseMachineText(TREE, 'x');
    expect(parseMachine(description, 'x')).toEqual(description);
    const rootComplexes = [{ name: 'rc0', hostBridge: '8086:09A2' }];
    expect(parseMachine({ pci: { rootComplexes } }, 'x').pci.rootComplexes[0].hostBridge).toBe('8086:09a2');
    const machine = boot(TREE);
    expect(machine.devices.map(({ pciFunction }) => pciFunction.port.name)).toEqual(['p0', 'q0', 'port of card2']);
  });

  it('is shown with what is plugged in where, and the memory that others reach', () => {
    const tree = boot(TREE).tree();
    const lines = [
      '├─ pci',
      '│  ├─ root complex rc0 8086:09a2',
      '│  │  └─ root port rp0',
      '│  │     └─ upstream port sw0',
      '│  │        ├─ downstream port p0: card0',
      '│  │        ├─ downstream port p1, ACS request redirect and egress control',
      '│  │        └─ downstream port p2',
      '│  │           └─ upstream port sw1',
      '│  │              └─ downstream port q0: card1',
      '│  └─ root complex rc1 1022:1480',
      '│     └─ root port rp1',
    ].join('\n');
    expect(tree).toContain(lines);
    expect(tree).toContain('PCI 16 MiB');
    expect(tree).toContain('BAR 2 memory 8 MiB at bus address 0x8000800000');
    expect(tree).toContain('/sys/bus/pci/devices/card0/p2pmem/allocate');
    expect(boot({}).tree()).not.toContain('pci');
  });

  it('refuses unknown fields and values with the nearest, at any depth', () => {
    const port = (fields: object): string =>
      problem({
        pci: { rootComplexes: [{ name: 'rc0', ports: [{ name: 'p', switch: { name: 's', ports: [fields] } }] }] },
      });
    expect(port({ name: 'q', asc: [] })).toContain(
      'pci.rootComplexes[0].ports[0].switch.ports[0].asc is not known. Expected one of name, acs, switch; got asc. Try acs.',
    );
    expect(port({ name: 'q', acs: ['request-redirct'] })).toContain('Try "request-redirect"');
    expect(port({ name: 'Q' })).toContain('Expected a name of small letters');
    expect(problem({ pci: { rootComplexes: [{ name: 'rc0', hostBridge: '8086' }] } })).toContain('such as 8086:09a2');
    expect(problem({ pci: { rootComplexes: [] } })).toContain('Expected at least 1 entries');
    expect(problem({ pci: { cpu: 'amd' } })).toContain('Expected one of "listed", "any"');
  });

  it('refuses two parts of one name', () => {
    const rootComplexes = [{ name: 'rc0', ports: [{ name: 'rp0', switch: { name: 'rp0', ports: [{ name: 'p' }] } }] }];
    expect(problem({ pci: { rootComplexes } })).toBe(
      'MACHINE_INVALID: machine.yaml: two parts of the PCI tree are called rp0. Expected a name of its own for each; got rp0.',
    );
  });

  it('refuses a device where no device can be, and says where one can', () => {
    const rootComplexes = [
      { name: 'rc0', ports: [{ name: 'rp0', switch: { name: 'sw0', ports: [{ name: 'sw0p0' }] } }] },
    ];
    const at = (...ports: string[]): string =>
      problem({ pci: { rootComplexes }, devices: ports.map((port, i) => ({ name: `d${i}`, plugin: 'p', port })) });
    expect(at('sw0p1')).toContain('device d0: there is no port sw0p1. Expected one of sw0p0; got sw0p1. Try sw0p0.');
    expect(at('rp0')).toContain('device d0 cannot be plugged into rp0, which has a switch below it');
    expect(at('sw0')).toContain('a port with nothing below it: sw0p0');
    expect(at('sw0p0', 'sw0p0')).toContain('two devices are plugged into port sw0p0. Expected one; got d0 and d1.');
    expect(problem({ devices: [{ name: 'd0', plugin: 'p', port: 'x' }] })).toContain('Expected a port; pci has none');
  });

  it('has its schema for editors, with ports in ports', () => {
    expect(JSON.stringify(machineJsonSchema())).toContain('"completion-redirect"');
  });

  it('decides the way by the list of the file, or by the CPU, instead of by the list of the kernel', () => {
    const described = (pci: object): string => {
      const devices = ['a', 'b'].map((name, i) => ({ name, plugin: 'p', port: `rp${i}` }));
      const ports = [{ name: 'rp0' }, { name: 'rp1' }];
      const rootComplexes = [{ name: 'rc0', hostBridge: '1234:5678', ports }];
      return pciRoute(parseMachine({ pci: { rootComplexes, ...pci }, devices }, 'x'), 'a', 'b').route.rule;
    };
    expect(described({})).toBe('host-bridge-unknown');
    expect(described({ allowList: [{ hostBridge: '1234:5678' }] })).toBe('allow-list');
    expect(described({ cpu: 'any' })).toBe('cpu');
  });
});

describe('devices with memory', () => {
  it('that are described have room for it; for one that comes later it must be kept', () => {
    const late = { name: 'late', hardware: MemoryCardHardware, plugin: 'peers', model: { memory: '4MiB' } };
    const without = boot({});
    expect(() => without.bus.plugIn(late)).toThrow(/^PCI_NO_ROOM: .*late.*hotplug: 4MiB/);
    const machine = boot({ pci: { hotplug: '4MiB' } });
    expect(machine.bus.plugIn(late).pciFunction.bars[2]?.bytes).toBe(4 * 2 ** 20);
  });

  it('without memory by its settings have no such BAR', () => {
    const machine = boot({
      devices: [{ name: 'card0', hardware: 'memory-card', model: { memory: '4KiB' } }],
      pci: { hotplug: '4MiB' },
    });
    const none = machine.bus.plugIn({ name: 'none', hardware: MemoryCardHardware, model: { memory: '0' } });
    expect(none.pciFunction.bars[2]).toBeNull();
    expect(machine.device('card0').services?.windows[1].read32(0)).toBe(0xffffffff);
  });

  it('must have a size that a BAR can have', () => {
    const devices = [{ name: 'card0', hardware: 'memory-card', model: { memory: '5KiB' } }];
    expect(() => boot({ devices })).toThrow(/^DRIVER_METADATA_INVALID: BAR 2 of memory-card.*power of two.*got 5120/);
  });

  it('show it to their driver through the window of the BAR, until they are gone', () => {
    const machine = boot(TREE);
    const card = machine.device('card0');
    const [registers, , memory] = card.services?.windows ?? [];
    expect(registers.read32(0)).toBe(0x600d);
    expect([registers.isMemory, memory.isMemory, memory.bytes]).toEqual([false, true, 2 ** 20]);
    expect(memory.busAddress).toBe(2 ** 39);
    memory.write64lohi(8, 0x1234_5678_9abc);
    const { hardware } = card;
    expect(hardware instanceof MemoryCardHardware && hardware.byteAt(13)).toBe(0x12);
    machine.world.complete(card.remove('surprise'));
    expect(memory.read32(8)).toBe(0xffffffff);
  });
});
