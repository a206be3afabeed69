/** Replays recordings of real kernels on emulated machines and compares every step. */
export { isRecording, readRecording } from './formats';
export type { Recording } from './formats';
export { parseScenarios } from './recording';
export type { FrameState, OperationArguments, ProcessAccounts, Scenario, SnapshotDelta, Step } from './recording';
export { TIERS, TIER_NAMES, compareStep, frameText } from './compare';
export type { Difference, OwnStep, Tier } from './compare';
export { agreesUpTo, replayScenario } from './replay';
export type { Disagreement, ReplayedStep, ScenarioResult } from './replay';
export { ScenarioMachine } from './scenario-machine';
export { deltaBetween, emptySnapshot, foldSteps } from './snapshot';
export type { Snapshot } from './snapshot';
export { outcomeText, sentence } from './story';
export { pagesOf } from './views';
export type { PageView } from './views';
export { PLAIN_CONFORMANCE_STYLE, conformanceReport, renderConformance, replayRecording } from './report';
export type {
  ConformanceOptions,
  ConformanceReport,
  ConformanceStyle,
  DisagreementReport,
  FileReport,
  FileResult,
} from './report';
