/** Planted bugs as a plugin, for the command: a driver that leaks, and one that only a watchdog of the host can name. */
import { definePlugin, driver } from '@pincushion/driver';
import { NeverUnpins } from './memory-bugs';
import { Config, MATCH, Port, PortHardware, Register, portExample } from './port';

/** Never gives control back once a transfer has failed. */
@driver({ name: 'spins-for-ever', api: 1, match: MATCH, config: Config })
class SpinsForEver extends Port {
  protected override transferDone(): undefined {
    let status = this.registers.read32(Register.status);
    while (status === 0xffffffff) status = this.registers.read32(Register.status);
    super.transferDone();
  }
}

export const plugin = definePlugin({
  name: 'planted',
  api: 1,
  drivers: [SpinsForEver, NeverUnpins],
  hardware: [PortHardware],
  example: portExample,
});
