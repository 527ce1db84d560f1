/**
 * Hestia: ternary language models, from the tensor library to the packed file, on WebGPU.
 *
 * Tensors are vertices of a lazy graph; derivatives of any order are more graph; a compiler turns graphs into a few WGSL kernels. On top
 * stand a Llama-3.2 model, the Hestia relaxation (arXiv 2601.20745) that anneals its weights to {-1, 0, 1}, and packing to 2.25 bits.
 *
 * @example Derivatives of any order
 * ```ts
 * import { gradients, hessianVectorProduct, tensor } from "@hestia/hestia";
 *
 * const x = tensor([[1, 2], [3, 4]]);
 * const w = tensor([[0.5], [-0.25]]);
 * const loss = x.matmul(w).tanh().square().mean(); // nothing has run yet
 * const [g] = gradients(loss, [w]);
 * const [hv] = hessianVectorProduct(loss, [w], [tensor([[1], [0]])]);
 * console.log(...await Promise.all([loss.item(), g.data(), hv.data()])); // one submission
 * ```
 *
 * @example A quantizer on a model of one's own
 * ```ts
 * import { annealing, hestia, randomNormal, ternary } from "@hestia/hestia";
 *
 * const w = randomNormal([64, 128], { seed: 1 });
 * const schedule = annealing({ totalSteps: 2000 }); // pressure for 20 %, then annealing
 * const weight = hestia(w, { ...schedule.at(500, { scale: 0.78 }), groupSize: 128 }); // differentiable to any order
 * const baseline = ternary(w, { groupSize: 128 }); // straight-through
 * console.log(await weight.sub(baseline).square().mean().item());
 * ```
 *
 * @module
 */

// tensors and derivatives
export { constant, isTensor, type Operand, type ReduceOptions, Tensor } from "./src/tensor.ts";
export {
  arange,
  full,
  type NestedNumbers,
  ones,
  randomBits,
  randomNormal,
  type RandomOptions,
  randomSigns,
  randomUniform,
  tensor,
  type TensorOptions,
  zeros,
} from "./src/create.ts";
export { type Arguments, compile, type Compiled, type CompileOptions, realize } from "./src/trace.ts";
export { gradients } from "./src/autodiff/gradients.ts";
export { hessianVectorProduct, jacobianVectorProduct } from "./src/autodiff/hessian.ts";
export { recompute } from "./src/autodiff/recompute.ts";
export type { BackendInfo, BackendName, BackendOptions } from "./src/backend/options.ts";
export { backendInfo, fastestKernels, useBackend } from "./src/runtime.ts";
export type { Tuning } from "./src/tuning/tuner.ts";
export type { BackendStatistics } from "./src/backend/backend.ts";
export type { DType, TensorData } from "./src/core/dtype.ts";
export type { ProgramBytes } from "./src/core/program.ts";
export type { TensorType } from "./src/core/graph.ts";
export type { Shape } from "./src/core/shape.ts";

// functions of neural networks
export { swiglu } from "./src/nn/activation.ts";
export { type AttentionOptions, causalAttention } from "./src/nn/attention.ts";
export { crossEntropy, headLoss, type HeadLossOptions } from "./src/nn/loss.ts";
export { distillationLoss, type DistillationLossOptions } from "./src/nn/distillation.ts";
export { type RmsNorm, rmsNorm } from "./src/nn/normalization.ts";
export {
  type LinearScaling,
  type Llama3Scaling,
  type RopeScaling,
  type RotaryOptions,
  type RotaryTable,
  rotaryTable,
  rotate,
  type YarnScaling,
} from "./src/nn/rotary.ts";
export {
  adamw,
  type AdamWOptions,
  type AdamWResult,
  type AdamWState,
  initialMoments,
  type MomentDType,
  type Moments,
  type NamedTensors,
} from "./src/optim/adamw.ts";
export { learningRateMultiplier, type ScheduleOptions, type ScheduleStyle } from "./src/optim/schedule.ts";

// the method's releases, quantizers and their guidance
export {
  type AnnealingRules,
  type CalibrationRules,
  type GuidanceRules,
  type ObjectiveRules,
  type Recipe,
  type RecipeName,
  recipes,
  type RuleOptions,
  type ScheduleRules,
  type WeightRules,
} from "./src/recipes.ts";
export { hestia, type HestiaOptions } from "./src/quant/hestia.ts";
export { ternary, type TernaryOptions } from "./src/quant/ternary.ts";
export type { Quantizer, QuantizerState } from "./src/quant/quantizer.ts";
export { type QuantizerName, quantizers, registerQuantizer } from "./src/quant/registry.ts";
export type { Codes, ScaleDType } from "./src/quant/groups.ts";
export {
  type Annealing,
  annealing,
  type AnnealingOptions,
  type AnnealingState,
  type AnnealingStyle,
} from "./src/quant/annealing.ts";
export { expectedError, optimalTemperature, softQuantize } from "./src/quant/temperature.ts";
export { type Guidance, type GuidanceOptions, temperatureScaleErrors, temperatureScales } from "./src/quant/guidance.ts";
export {
  columnwise,
  hutchinson,
  hutchPlusPlus,
  type LinearOperator,
  type QueryOptions,
  type SketchOptions,
  type SplitTraceEstimate,
  type TraceEstimate,
} from "./src/quant/hutch.ts";
export { hessianTraces, type LossFunction, type TraceInputs, type TraceOptions, type TraceProgress } from "./src/quant/traces.ts";
export { type HutchTraceOptions, hutchTraces } from "./src/quant/hutch_traces.ts";
export { gaussNewtonTraces, type LogitPiecesFunction, type LogitsFunction } from "./src/quant/gauss_newton.ts";
export type { Groups, SampleMoments, TensorTrace, TraceState } from "./src/quant/trace_state.ts";

// Llama
export { type ConfigOptions, type LlamaConfig, llamaConfig } from "./src/llama/config.ts";
export type { HuggingFaceConfig } from "./src/llama/config.ts";
export {
  type LinearMaps,
  llama,
  type LlamaModel,
  type LlamaOptions,
  type Project,
  type ProjectNormed,
} from "./src/llama/model.ts";
export { initialModel, type LayerLinear, type NewLlamaConfig, type Parameters, quantizedNames } from "./src/llama/parameters.ts";
export {
  type LanguageModel,
  loadCheckpoint,
  type LoadOptions,
  type ModelOrigin,
  type Quantization,
  saveCheckpoint,
  type SaveOptions,
  type TextSettings,
} from "./src/llama/checkpoint.ts";
export type { SavedDType } from "./src/llama/transfer.ts";
export type { FamilyName } from "./src/llama/families.ts";
export type { ReadingOptions } from "./src/io/fields.ts";
export { loadModel } from "./src/pipeline/load_model.ts";
export { generate, type GenerateOptions } from "./src/llama/generate.ts";
export { byteTokenizer } from "./src/tokenizer/bytes.ts";
export {
  type EncodeOptions,
  loadTokenizer,
  type LoadTokenizerOptions,
  type Tokenizer,
  type TokenizerJson,
  type TokenizerModelJson,
  type TokenStream,
} from "./src/tokenizer/tokenizer.ts";
export { type TokenizerPool, tokenizerPool, type TokenizerPoolOptions } from "./src/tokenizer/pool.ts";
export { type ChatMessage, type ChatOptions, encodeChat, type EncodedChat, renderChat } from "./src/tokenizer/chat.ts";

// calibration, training, packing
export { type CheckpointOptions, type LoadedState, newestState, saveState } from "./src/train/checkpoints.ts";
export type { OptimizerOptions, Tensors, TrainingState } from "./src/train/trainer.ts";
export { ternaryGroupSize } from "./src/pipeline/already_ternary.ts";
export { loadTensors, saveTensors } from "./src/io/tensors.ts";
export {
  type Batch,
  batchAt,
  batches,
  type BatchSize,
  type GivenBatch,
  ignoredTarget,
  splitTokens,
  windows,
} from "./src/train/data.ts";
export { type DataOptions, type DataProgress, openData } from "./src/data/open.ts";
export type { BatchOptions, Dataset, HeldOut, SourceReport } from "./src/data/dataset.ts";
export { type DataSpec, parseDataSpecs } from "./src/data/source.ts";
export type { TextFormat } from "./src/data/encode.ts";
export {
  calibrate,
  type Calibration,
  type CalibrationGranularity,
  type CalibrationOptions,
  type CalibrationProgress,
  type Curvature,
  type Estimator,
} from "./src/pipeline/calibrate.ts";
export type { ObjectiveOptions } from "./src/pipeline/objective.ts";
export {
  packDocuments,
  type PackingOptions,
  packWholeDocuments,
  sequenceBatches,
  type TokenDocument,
  type WholePackingOptions,
} from "./src/train/documents.ts";
export {
  type DocumentPerplexity,
  documentPerplexity,
  type DocumentPerplexityOptions,
} from "./src/pipeline/document_perplexity.ts";
export { type HeatMapOptions, traceHeatMap } from "./src/report/heat_map.ts";
export type { Distillation } from "./src/pipeline/distillation.ts";
export { train, type TrainedModel, type TrainEvent, type TrainOptions } from "./src/pipeline/train.ts";
export type { HeldOutBest, HeldOutPlan, HeldOutPoint } from "./src/pipeline/held_out_points.ts";
export type { StatisticsPlan, StepStatistics, TensorStatistics } from "./src/pipeline/tensor_statistics.ts";
export { type PhaseName, type PhasePlan, type Plan, type PlanOptions, planTraining } from "./src/pipeline/plan.ts";
export { type EvaluatedText, type Evaluation, type EvaluationOptions, heldOutLoss } from "./src/pipeline/evaluate.ts";
export {
  type ContinuationScore,
  logLikelihood,
  type LogLikelihoodOptions,
  type TextModel,
  type TextPair,
} from "./src/evaluation/log_likelihood.ts";
export type { ScoringOptions } from "./src/evaluation/score.ts";
export { evaluateTask, type ItemResult, type TaskResult } from "./src/evaluation/evaluate_task.ts";
export { type Perplexity, textPerplexity, type TextPerplexityOptions } from "./src/evaluation/perplexity.ts";
export type { ProtocolName } from "./src/evaluation/protocols.ts";
export { type TaskName, tasks } from "./src/evaluation/tasks.ts";
export type { Question, Task, TaskRow } from "./src/evaluation/tasks/task.ts";
export type { GapSentence } from "./src/evaluation/tasks/winogrande.ts";
export { type Mean, pairedDifference } from "./src/evaluation/statistics.ts";
export { roundedModel } from "./src/pipeline/rounded.ts";
export { pack, packFile, type PackOptions } from "./src/pipeline/pack.ts";
export { type BitnetOptions, openBitnet, packBitnet } from "./src/pipeline/pack_bitnet.ts";
export type { PackedSizes } from "./src/pipeline/packed_weights.ts";
export { openPacked, type PackedModel } from "./src/pipeline/open_packed.ts";
export { openGgufFile } from "./src/io/gguf_file.ts";
export type {
  GgufArray,
  GgufEntry,
  GgufFile,
  GgufItem,
  GgufMetadata,
  GgufTensor,
  GgufValue,
  GgufValueType,
} from "./src/io/gguf.ts";
export type { GgmlType } from "./src/io/ggml_types.ts";
export type { PackedFormatName } from "./src/pack/formats.ts";
export type { TernaryMatrix } from "./src/pack/format.ts";
export {
  packedMatmul,
  type PackedMatmulOptions,
  packedNormMatmul,
  type PackedWeight,
  packWeight,
} from "./src/pack/packed_weight.ts";
