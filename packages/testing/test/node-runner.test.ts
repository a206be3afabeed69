/** The kit under the test runner of Node itself: no `expect`, no Jest. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const REPOSITORY = resolve(__dirname, '../../..');

const testFile = `
const { describe, it } = require('node:test');
const assert = require('node:assert');
const { DeviceModel, DeviceWork, Driver, driver, hardware } = require(${JSON.stringify(require.resolve('@pincushion/driver'))});
const { expectThat, testDevice } = require(${JSON.stringify(require.resolve('@pincushion/testing'))});
const { z } = require(${JSON.stringify(require.resolve('zod'))});

class Lamp extends DeviceModel {
  powerOn() { this.on = 0; }
  mmioRead() { return this.on; }
  mmioWrite(bar, offset, value) { this.on = value; }
}
hardware({ name: 'lamp', vendor: 1, device: 1, bars: [{ bytes: 4 }], vectors: 1, config: z.strictObject({}) })(Lamp);

class LampDriver extends Driver {
  constructor(work) { super(); this.work = work; }
  *probe() {
    this.timer = this.work.timer('blink', () => undefined);
    if (!this.config.forget) this.own(this.timer);
    this.timer.start(1000000);
  }
  *remove() {}
}
const config = z.strictObject({ forget: z.boolean().default(false) });
driver({ name: 'lamp', api: 1, match: [{ vendor: 1, device: 1 }], config, deps: [DeviceWork] })(LampDriver);

describe('a lamp', () => {
  it('leaves nothing behind', () => {
    const bed = testDevice(LampDriver, { hardware: Lamp });
    bed.bus.write32(0, 7);
    assert.strictEqual(bed.hardware.on, 7);
    expectThat(bed).toBeInState('bound');
    expectThat(bed).toHaveNoLeaks();
  });
  it('that forgets its timer is caught', () => {
    const bed = testDevice(LampDriver, { hardware: Lamp, config: { forget: true } });
    assert.throws(() => expectThat(bed).toHaveNoLeaks(), /DEVICE_TIMER_LEAK.*blink is still running/);
  });
});
`;

describe("under node's own runner", () => {
  const folder = mkdtempSync(join(tmpdir(), 'pincushion-node-runner-'));
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it('a bed, its matchers and its leak check work', () => {
    const path = join(folder, 'lamp.test.cjs');
    writeFileSync(path, testFile);
    const hook = join(REPOSITORY, 'scripts/ts-hook.cjs');
    const ended = spawnSync(
      process.execPath,
      ['--conditions=pincushion-source', '--require', hook, '--test-reporter=tap', '--test', path],
      { encoding: 'utf8', env: { PATH: process.env.PATH }, cwd: REPOSITORY },
    );
    expect(ended.stdout).toContain('# pass 2');
    expect([ended.status, ended.stderr]).toEqual([0, '']);
  }, 60_000);
});
