/**
 * Every node of every graph, and of the graphs inside it, has a kernel of the CUDA provider: a node without one runs on the
 * CPU, and its inputs and outputs are copied. The list of kernels is test/fixtures/cuda-kernels.json.
 */
import { readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { buildDenseModel } from "../../../../src/engine/runtime/onnx/dense-pass.ts";
import { type GraphProto, ModelProtoSchema, type NodeProto } from "../../../../src/engine/runtime/onnx/onnx_pb.ts";
import { ELEMENT } from "../../../../src/engine/runtime/onnx/protos.ts";
import { buildPursuitModel } from "../../../../src/engine/runtime/onnx/pursuit-graph.ts";

interface Operator {
  readonly versions: readonly number[];
  readonly kernels: readonly (readonly [number, number?])[];
  readonly inputs: readonly (readonly string[])[];
  readonly host?: readonly number[];
}

const file = new URL("../../../fixtures/cuda-kernels.json", import.meta.url);
const { operators } = JSON.parse(readFileSync(file, "utf8")) as { operators: Readonly<Record<string, Operator>> };

const NAMES = new Map<number, string>(Object.entries(ELEMENT).map(([name, number]) => [number, name]));

/** Element types of values, and which of them are constants. */
interface Scope {
  readonly types: ReadonlyMap<string, string>;
  readonly constants: ReadonlySet<string>;
}

interface Found {
  readonly missing: string[];
  /** Operators that read computed values on the host. */
  readonly copied: string[];
}

function walk(bytes: Uint8Array): Found {
  const { graph, opsetImport } = fromBinary(ModelProtoSchema, bytes);
  const found: Found = { missing: [], copied: [] };
  walkGraph(graph!, Number(opsetImport[0]!.version), { types: new Map(), constants: new Set() }, found, "");
  return found;
}

function walkGraph(graph: GraphProto, opset: number, outer: Scope, found: Found, path: string): void {
  const types = new Map(outer.types);
  const constants = new Set(outer.constants);
  for (const { name, type } of graph.input) types.set(name, NAMES.get(type!.tensorType!.elemType)!);
  for (const { name, dataType } of graph.initializer) {
    types.set(name, NAMES.get(dataType)!);
    constants.add(name);
  }
  for (const node of graph.node) {
    const where = `${path}${node.opType} ${node.name}`;
    const fault = faultOf(node, opset, types);
    if (fault !== null) found.missing.push(`${where}: ${fault}`);
    const host = operators[node.opType]?.host ?? [];
    if (host.some((at) => node.input[at] !== undefined && !constants.has(node.input[at])))
      found.copied.push(`${path}${node.opType}`);
    for (const { g } of node.attribute)
      if (g) walkGraph(g, opset, { types, constants }, found, `${path}${node.opType}/`);
    for (const [at, type] of outputTypes(node, types).entries()) types.set(node.output[at]!, type);
  }
}

/** Why the provider has no kernel for a node; null where it has one. */
function faultOf({ opType, input }: NodeProto, opset: number, types: ReadonlyMap<string, string>): string | null {
  const operator = operators[opType];
  if (operator === undefined) return "not in the list";
  const version = Math.max(...operator.versions.filter((one) => one <= opset));
  if (
    !operator.kernels.some(([first, last]) =>
      last === undefined ? first === version : first <= version && version <= last,
    )
  )
    return `no kernel for version ${version} of the operator (opset ${opset})`;
  for (const [at, name] of input.entries()) {
    const taken = operator.inputs[Math.min(at, operator.inputs.length - 1)]!;
    if (!taken.includes(types.get(name)!)) return `input ${at} is ${types.get(name)}, not ${taken.join(", ")}`;
  }
  return null;
}

const COMPARISONS = new Set(["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Not"]);

function outputTypes({ opType, input, output, attribute }: NodeProto, types: ReadonlyMap<string, string>): string[] {
  const of = (at: number): string => types.get(input[at]!)!;
  if (COMPARISONS.has(opType)) return ["bool"];
  if (opType === "Cast") return [NAMES.get(Number(attribute.find(({ name }) => name === "to")!.i))!];
  if (opType === "Shape" || opType === "NonZero") return ["int64"];
  if (opType === "TopK") return [of(0), "int64"];
  if (opType === "Where") return [of(1)];
  if (opType === "If" || opType === "Loop") {
    // A loop's body first gives its condition.
    const declared = attribute[0]!.g!.output.map(({ type }) => NAMES.get(type!.tensorType!.elemType)!);
    return opType === "If" ? declared : declared.slice(1);
  }
  return output.map(() => of(0));
}

const [d, m] = [4, 6];
const atoms = new Float32Array(m * d).fill(0.5);

/** Every value that changes which nodes a pursuit's graph has. */
const PURSUITS = (["relu", "signed", "absolute"] as const).flatMap((score) =>
  (["add", "stop", "forbid"] as const).flatMap((reselect) =>
    [0, 0.1].flatMap((residualThreshold) =>
      [false, true].map((usesGram) => ({ score, reselect, residualThreshold, usesGram })),
    ),
  ),
);

describe.each([1, 2])("the pursuit in %d steps a turn", (unroll) => {
  it.each(PURSUITS)(
    "runs on the card: $score scores, a repeat means $reselect, threshold $residualThreshold, Gram form $usesGram",
    ({ usesGram, ...settings }) => {
      const gram = usesGram ? new Float32Array(m * m) : null;
      const { model } = buildPursuitModel({ d, m, settings, atoms, gram, norms: new Float64Array(m), unroll });
      const { missing, copied } = walk(model);
      expect(missing).toEqual([]);
      // Once before the loop; in it only the condition of each refresh, which decides what runs next.
      const before = settings.reselect === "forbid" ? ["Expand", "Loop"] : ["Loop"];
      expect([...new Set(copied)].toSorted()).toEqual(usesGram ? [...before, "Loop/If"] : before);
    },
  );
});

/** Latents of two layers, of unlike numbers; and the skip of each layer to itself. */
const BLOCKS = [
  { from: 0, to: 2, layer: 0 },
  { from: 2, to: 6, layer: 1 },
];

describe.each([
  ["of the whole row", {}, d],
  ["of one layer's slice in each block", { layers: 2, blocks: BLOCKS }, d / 2],
  ["of one block", { layers: 1, blocks: [{ from: 0, to: 6, layer: 0 }] }, d],
])("the dense pass %s", (_what, blocks, width) => {
  it.each([Infinity, 4 * width * 2])("runs on the card in parts of %d bytes", (partBytes) => {
    const weights = { d, m, atoms: atoms.subarray(0, m * width) };
    const { model, external } = buildDenseModel({ ...weights, ...blocks }, partBytes);
    expect(walk(model)).toEqual({ missing: [], copied: [] });
    const rows = external.filter(({ name }) => name.startsWith("atoms_")).map(({ data }) => data.length / width);
    expect(rows.reduce((sum, one) => sum + one, 0)).toBe(m);
  });
});
