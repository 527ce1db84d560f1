/**
 * Picks among the kernels that compute a call, and notes where a device may pick by time.
 *
 * @module
 */

import type { Binding, Contest, Dispatch, Program, Slot } from "../core/program.ts";
import * as hestia from "../kernels/hestia.ts";
import { canRun, isFor, type Kernel, type KernelTarget } from "../kernels/kernel.ts";
import { matmulBinding } from "../kernels/matmul_binding.ts";
import * as packed from "../kernels/packed.ts";
import * as softmax from "../kernels/softmax.ts";

/** How kernels are picked. */
export interface PickOptions {
  /** Names of one kernel or several to take wherever they apply, whatever the device prefers; see {@linkcode variantNames}. */
  readonly variant?: string | readonly string[];
  /**
   * The name of the fastest kernel for a class of calls; `undefined` asks for trials, which `Program.contests` then lists. The default is
   * taken where nobody is asked, and where no kernel of that name computes the call.
   */
  readonly fastest?: (shapeClass: string) => string | undefined;
}

/** What has rivals: kernels of one order, and a name for each class of calls. */
const timed: readonly { readonly kernels: readonly Pick<Kernel<never>, "name">[] }[] = [
  matmulBinding,
  packed.ternaryMatmulBinding,
  packed.ternaryMatmulInt8Binding,
  packed.ternaryMatmulDenseBinding,
  packed.ternaryMatmulNormedBinding,
  packed.ternaryMatmulDenseNormedBinding,
  ...Object.values(hestia),
  ...Object.values(softmax),
];

/** Names of the kernels that may be timed, each of which tests take wherever it applies. */
export const variantNames: readonly string[] = [...new Set(timed.flatMap(({ kernels }) => kernels.map(({ name }) => name)))];

/** A kernel that applies to a call, as the kernel itself sees that call. */
export interface Variant {
  readonly kernel: Pick<Kernel<never>, "name" | "order" | "tiled" | "texels" | "needs">;
  /** Whether it is expected to be fast. */
  readonly suits: boolean;
}

/** Whether two kernels give the same bits and read their inputs in the same way, which by far decides between others. */
function isRival(a: Variant["kernel"], b: Variant["kernel"]): boolean {
  return a.order !== undefined && a.order === b.order && !a.texels === !b.texels;
}

/** Picks kernels for the calls of one program. */
export class Picker {
  /** Dispatches of each class whose fastest kernel is not known, the default first. */
  readonly open = new Map<string, readonly { readonly name: string; readonly dispatch: Dispatch }[]>();

  constructor(private readonly target: KernelTarget, private readonly options: PickOptions) {}

  /** The dispatch of one of the variants, which come in order of preference; `undefined` where there is none. */
  pick<V extends Variant>(
    variants: readonly V[],
    shapeClass: string | undefined,
    dispatchOf: (variant: V) => Dispatch,
  ): Dispatch | undefined {
    const { variant, fastest } = this.options;
    const named = (list: readonly V[], names: string | readonly string[] = []) =>
      list.find(({ kernel }) => [names].flat().includes(kernel.name));
    const usual = variants.filter(({ kernel }) => isFor(kernel, this.target));
    const able = variants.filter(({ kernel }) => canRun(kernel, this.target));
    const first = named(able, variant) ?? usual.find(({ suits }) => suits);
    if (!first) return undefined;
    const rivals = usual.filter(({ kernel }) => isRival(kernel, first.kernel));
    if (variant !== undefined || !fastest || shapeClass === undefined || rivals.length < 2) return dispatchOf(first);
    const known = fastest(shapeClass);
    if (known === undefined && !this.open.has(shapeClass)) {
      const forms = [first, ...rivals.filter((rival) => rival !== first)];
      this.open.set(shapeClass, forms.map((form) => ({ name: form.kernel.name, dispatch: dispatchOf(form) })));
    }
    return dispatchOf(named(rivals, known) ?? first);
  }

  /** What is to be timed, given the memory of the program. */
  contests(memory: Pick<Program, "inputBytes" | "outputs" | "scratchBytes">): Contest[] {
    return [...this.open].map(([shapeClass, forms]) => ({
      shapeClass,
      names: forms.map(({ name }) => name),
      programs: forms.map(({ dispatch }) => alone(dispatch, memory)),
    }));
  }
}

/** A dispatch as a program of its own, which may run again and again: every buffer is an input that an output takes over. */
function alone(
  dispatch: Dispatch,
  { inputBytes, outputs, scratchBytes }: Pick<Program, "inputBytes" | "outputs" | "scratchBytes">,
): Program {
  const bytes: number[] = [];
  const inputs = new Map<string, number>();
  const moved = <T extends { readonly slot: Slot }>(binding: T): T => {
    const { kind, index } = binding.slot;
    const key = `${kind}${index}`;
    if (!inputs.has(key)) {
      inputs.set(key, bytes.length);
      bytes.push(kind === "input" ? inputBytes[index] : kind === "output" ? outputs[index].bytes : scratchBytes[index]);
    }
    return { ...binding, slot: { kind: "input", index: inputs.get(key)! } };
  };
  const bindings = dispatch.bindings.map((binding): Binding => ({
    ...moved(binding),
    ...(binding.parts && { parts: binding.parts.map(moved) }),
  }));
  const written = new Set(bindings.filter(({ access }) => access === "write").map(({ slot }) => slot.index));
  return {
    dispatches: [{ ...dispatch, bindings }],
    inputBytes: bytes,
    outputs: [...written].map((donor) => ({ bytes: bytes[donor], donor })),
    scratchBytes: [],
    released: [],
  };
}
