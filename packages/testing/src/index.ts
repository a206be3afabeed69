/** Unit tests for drivers in isolation. Knows no test framework: it throws, and any framework shows it. */
export { FindingsError, describeFinding, leakCheck } from './leak-check';
export { testDevice } from './test-device';
export type { DeviceBed, TestDeviceOptions } from './test-device';
