/** A driver of the echo NIC's hardware as a build without decorator metadata leaves it: services are named in `deps`. */
import type { Task } from '@pincushion/driver';
import { Driver, Interrupts, Registers, driver, driverMeta } from '@pincushion/driver';
import { EchoNic, EchoNicHardware } from '@pincushion/example-echo-nic';
import { testDevice } from '@pincushion/testing';

const BUFFER_LOW = 0;

/** The settings of the example's own driver, which knows the same hardware. */
const Config = driverMeta(EchoNic)?.config;
if (Config === undefined) throw new Error('the example has no driver');

class PatientNic extends Driver {
  constructor(
    readonly registers: Registers,
    readonly interrupts: Interrupts,
  ) {
    super();
  }

  override *probe(): Task {
    this.own(this.interrupts.request(0, 'transfer done', () => undefined));
  }

  override *remove(): Task {
    // Nothing was started.
  }
}

driver({
  name: 'patient-nic',
  api: 1,
  match: [{ vendor: 0x1af4, device: 0x10e1 }],
  config: Config,
  deps: [Registers, Interrupts],
})(PatientNic);

describe('a driver without decorator metadata', () => {
  it('gets the services that it names in deps', () => {
    expect(Reflect.getOwnMetadata('design:paramtypes', PatientNic)).toBeUndefined();
    using bed = testDevice(PatientNic, { hardware: EchoNicHardware });
    bed.driver.registers.write32(BUFFER_LOW, 0x1234);
    expect(bed.driver.registers.read32(BUFFER_LOW)).toBe(0x1234);
  });
});
