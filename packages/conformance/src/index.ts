/** Replays recordings of real kernels on emulated machines and compares every step. */
export { isRecording, isTranscript, readRecording, readTranscript } from './formats';
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
export { CHOICES } from './nvme/choices';
export { replayTranscript, transcriptAgrees } from './nvme/transcript-replay';
export type { TranscriptResult } from './nvme/transcript-replay';
export type { Transcript } from './nvme/transcript';
export { parseScript, scriptText } from './script/script';
export type { Script, ScriptStep } from './script/script';
export { randomProgram } from './random-programs/generator';
export { runProgram, shrinkProgram } from './random-programs/run';
export type { ProgramFailure } from './random-programs/run';
export { randomReport, renderRandomReport, runRandomPrograms } from './random-programs/report';
export type { RandomReport, RandomRunOptions } from './random-programs/report';
export { OPERATIONS, OPERATION_GROUPS, signature } from './script/operation-table';
export { ask } from './ask/ask';
export type { Acted, AskOptions, AskedStep } from './ask/ask';
export { HOW_TO_RECORD, askReport, renderAsk } from './ask/report';
export type { AskReport } from './ask/report';
