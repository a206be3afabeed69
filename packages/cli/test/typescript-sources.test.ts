import { createRequire } from 'node:module';
import { join } from 'node:path';
import { SWC_OPTIONS } from '../src/typescript-sources';

describe('TypeScript in an installed command', () => {
  it('is compiled as in a clone', () => {
    const repository = join(__dirname, '../../../scripts/swc-options.cjs');
    expect(SWC_OPTIONS).toEqual(createRequire(__filename)(repository));
  });
});
