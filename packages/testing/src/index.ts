/** Unit tests for drivers in isolation. Knows no test framework: it throws, and any framework shows it. */
export { FindingsError, describeFinding, leakCheck } from './leak-check';
export { failEach } from './fail-each';
export type { FailEachOptions, FailEachReport, FailedCall } from './fail-each';
export { fake } from './fake';
export type { Fake } from './fake';
export { expectThat, matchers } from './matchers';
export type { Assertions, MatcherResult } from './matchers';
export type { PageUnderTest } from './page-under-test';
export { testDevice } from './test-device';
export type { ConfigOf, DeviceBed, TestDeviceOptions } from './test-device';

// The suite that every driver must pass
export { VERIFY_TRIALS_MAX, problemKind, verifyDriver } from './verify/verify-driver';
export type { CheckResult, VerifyOptions, VerifyProblem, VerifyReport } from './verify/verify-driver';
export { driverContract } from './verify/contract/driver-contract';
export type { ContractPath, DriverContract } from './verify/contract/driver-contract';
export type { CallRow, ContractRow, RepeatRow } from './verify/contract/fold-rows';
export type { EntryStep } from './verify/contract/call-record';
