import { damaged, type Draw, type Json, oddly, TOKENS_OF_FILES } from "./damage.ts";
import { ARCHIVE_DAMAGES, type Damage, UNREAD, withFile } from "./archive-damage.ts";
import type { Expectation, FileCase } from "./file-cases.ts";
import {
  inFormat,
  PUBLISHED,
  publishedFolder,
  type PublishedFolder,
  rewritten,
  type WeightsFile,
} from "./published-folders.ts";
import { type Format, formatOf, halved, storable, type Tensor, type Tensors } from "./tensor-files.ts";

/** Damage to fixtures. What must come of most of it is known beforehand. */

/** Name of a tensor that no layout has. */
const EXTRA = "fuzzed.extra";

/** Settings that say a width of the weights. */
const WIDTHS =
  /^(?:d_in|d_sae|d_out|d_model|dict_size|activation_dim|act_size|num_latents|expansion_factor|m|n_targets)$/;

/** A fixture, written in one of its formats and damaged. */
export async function damagedFolder(draw: Draw): Promise<FileCase> {
  const folder = await publishedFolder(draw.pick(PUBLISHED), draw.chance(0.15));
  const format = draw.pick(folder.formats);
  const whole = draw.chance(0.3)
    ? { files: folder.files, ...(folder.file !== undefined && { file: folder.file }) }
    : inFormat(folder, format);
  const made: FileCase = {
    kind: folder.kind,
    damage: "none",
    path: folder.path,
    flags: folder.flags,
    damagedFile: draw.pick(Object.keys(whole.files)),
    published: folder,
    ...whole,
  };
  const chosen = draw.pick(DAMAGES);
  return chosen(draw, made, folder, format) ?? { ...made, expected: { read: "same" } };
}

/** Bytes of any file. */
const bytes: Damage = (draw, made) => {
  const { files, damagedFile } = made;
  const changed = damaged(draw, Buffer.from(files[damagedFile]!), TOKENS_OF_FILES);
  return { ...made, damage: "bytes", files: { ...files, [damagedFile]: changed } };
};

/** Values of a config. */
const config: Damage = (draw, made) => {
  const found = configOf(draw, made);
  if (found === null) return null;
  const [name, value] = found;
  return withFile(made, "config", name, Buffer.from(JSON.stringify(oddly(draw, value, 0.1))));
};

/** A width of the config that is not the weights'. */
const contradiction: Damage = (draw, made) => {
  const found = configOf(draw, made);
  if (found === null) return null;
  const [name, value] = found;
  const places = widthsIn(value);
  if (places.length === 0) return null;
  const [holder, key] = draw.pick(places);
  holder[key] = (holder[key] as number) + draw.pick([1, 3, holder[key] as number]);
  return { ...withFile(made, "contradiction", name, Buffer.from(JSON.stringify(value))), expected: { refused: [""] } };
};

/** A JSON file that is read beside the weights, and its content. */
function configOf(draw: Draw, { files }: FileCase): readonly [name: string, value: Json] | null {
  const names = Object.keys(files).filter((name) => name.endsWith(".json"));
  if (names.length === 0) return null;
  const name = draw.pick(names);
  return [name, JSON.parse(Buffer.from(files[name]!).toString()) as Json];
}

type Holder = Record<string, unknown>;

function widthsIn(value: Json): readonly (readonly [Holder, string])[] {
  if (typeof value !== "object" || value === null) return [];
  const inside = Object.entries(value).flatMap(([key, one]) =>
    WIDTHS.test(key) && typeof one === "number" && one > 0 ? [[value as Holder, key] as const] : widthsIn(one),
  );
  const fixed = "num_latents" in value || "n_targets" in value;
  return inside.filter(([holder, key]) => !(fixed && holder === value && key !== "d_in" && key !== "num_latents"));
}

/** Layouts and tensors that each damage leaves readable, as it should. */
const EXCEPTIONS: Readonly<Record<string, RegExp>> = {
  // Tensors that are there or not, depending on how the class was made.
  missing:
    /^overcomplete\S* dictionary\.multiplier$|^circuit-tracer\S* (?:k|W_skip|threshold_\d+|activation_function\.threshold)$|^clt-training\S* post_enc|^crosscoder\S* (?:threshold|code_normalization_id|activation_mean)$|^gemma-scope\S* affine|^openmoss\S* dataset_average|^sae-lens\S* scaling_factor$/,
  // The server looks for its own tensors only.
  extra: /^dictionary /,
  // Widths that differ tell of a transcoder. circuit-tracer has written W_dec in both orders. One number is one in any shape.
  shape:
    /^gemma-scope\S* w_enc$|^openmoss\S* dataset_average|^circuit-tracer\S* W_dec$|^overcomplete\S* dictionary\.multiplier$/i,
};

/** Damage to one tensor of one file. */
function ofTensor(
  damage: string,
  change: (draw: Draw, tensor: Tensor, name: string) => Readonly<Record<string, Tensor>> | null,
  expected: (name: string) => Expectation,
): Damage {
  return (draw, made, folder, format) => {
    const file = draw.pick(folder.weightsFiles);
    const name = draw.pick(Object.keys(file.tensors));
    const { [name]: chosen, ...others } = file.tensors;
    const changed = change(draw, chosen!, name);
    if (changed === null || !Object.values(changed).every((one) => storable(format, one))) return null;
    const what = `${folder.kind} ${name}`;
    if (UNREAD.test(what) || EXCEPTIONS[damage]?.test(what)) return null;
    if (folder.flags.layer !== undefined && !file.name.includes(`_${folder.flags.layer}.`)) return null;
    return {
      ...withTensors(made, damage, folder, file, { ...others, ...changed }, format),
      tensor: name,
      expected: expected(name),
    };
  };
}

/** Every weights file in the format, one with other tensors. */
function withTensors(
  made: FileCase,
  damage: string,
  folder: PublishedFolder,
  file: WeightsFile,
  tensors: Tensors,
  format: Format,
): FileCase {
  const whole = inFormat(folder, format);
  const [name, content] = rewritten(file, tensors, format);
  return { ...made, ...whole, damage, damagedFile: name, files: { ...whole.files, [name]: content } };
}

const refusedBy = (name: string): Expectation => ({ refused: [name] });

const missing = ofTensor(
  "missing",
  () => ({}),
  (name) => ({ refused: [name, "holds", "has no"] }),
);

const extra = ofTensor(
  "extra",
  (draw, tensor, name) => ({
    [name]: tensor,
    [EXTRA]: { dtype: "F32", shape: [3], data: draw.list(3, () => draw.number()) },
  }),
  () => refusedBy(EXTRA),
);

const shape = ofTensor(
  "shape",
  (draw, tensor, name) => {
    const { shape: sizes, data, dtype } = tensor;
    const row = data.slice(0, data.length / (sizes[0] ?? 1));
    const shapes: readonly Tensor[] = [
      { dtype, shape: [(sizes[0] ?? 1) + 1, ...sizes.slice(1)], data: [...data, ...row] },
      { dtype, shape: [...sizes, 1], data },
      { dtype, shape: [1, ...sizes], data },
      ...(sizes.length === 2 && sizes[0] !== sizes[1] ? [{ dtype, shape: sizes.toReversed(), data }] : []),
      ...(sizes.length > 1 ? [{ dtype, shape: [data.length], data }] : []),
      { dtype, shape: [0, ...sizes.slice(1)], data: [] },
    ];
    return { [name]: draw.pick(shapes) };
  },
  (name) => ({ refused: [name, "should be", "holds no"] }),
);

const integers = ofTensor(
  "integers",
  (draw, { dtype, shape: sizes, data }, name) =>
    dtype === "F32"
      ? { [name]: { dtype: draw.pick(["I64", "I32", "U8"] as const), shape: sizes, data: data.map(Math.round) } }
      : null,
  refusedBy,
);

const notFinite = ofTensor(
  "not finite",
  (draw, { dtype, shape: sizes, data }, name) => {
    if (dtype !== "F32") return null;
    const values = [...data];
    values[draw.below(values.length)] = draw.pick([Number.NaN, Infinity, -Infinity]);
    return { [name]: { dtype, shape: sizes, data: values } };
  },
  (name) => ({ refused: [name, "weights.safetensors: atom"] }),
);

/** All float tensors in another type. */
function inType(
  damage: string,
  change: (draw: Draw, tensor: Tensor) => Tensor,
  twin: ((tensor: Tensor) => Tensor) | null,
): Damage {
  return (draw, made, folder, format) => {
    const written = (of: (tensor: Tensor) => Tensor): Readonly<Record<string, Uint8Array>> => {
      const files = { ...inFormat(folder, format).files };
      for (const file of folder.weightsFiles) {
        const tensors = Object.fromEntries(
          Object.entries(file.tensors).map(([name, one]) => [name, one.dtype === "F32" ? of(one) : one]),
        );
        const [name, content] = rewritten(file, tensors, format);
        files[name] = content;
      }
      return files;
    };
    const whole = inFormat(folder, format);
    const made2 = {
      ...made,
      ...whole,
      damage,
      damagedFile: Object.keys(whole.files)[0]!,
      files: written((one) => change(draw, one)),
    };
    return twin === null ? { ...made2, expected: { read: "same" } } : { ...made2, twin: written(twin) };
  };
}

const doubles = inType("float64", (_, { shape: sizes, data }) => ({ dtype: "F64", shape: sizes, data }), null);

const halves: Damage = (draw, made, folder, format) => {
  const dtype = format === "npz" ? "F16" : draw.pick(["F16", "BF16"] as const);
  const half =
    (type: "F16" | "BF16" | "F32") =>
    (tensor: Tensor): Tensor => ({ dtype: type, shape: tensor.shape, data: tensor.data.map(halved) });
  return inType(dtype, (_, one) => half(dtype)(one), half("F32"))(draw, made, folder, format);
};

/** The rest of the case without one of its files. */
const lost: Damage = (draw, made) => {
  const { files } = made;
  const weights = Object.keys(files).filter((name) => formatOf(name) !== null);
  const name = draw.pick(weights);
  const { [name]: _, ...others } = files;
  return { ...made, damage: "lost file", damagedFile: name, files: others };
};

const DAMAGES: readonly Damage[] = [
  () => null,
  bytes,
  bytes,
  bytes,
  bytes,
  bytes,
  bytes,
  bytes,
  bytes,
  config,
  config,
  config,
  contradiction,
  missing,
  extra,
  shape,
  integers,
  notFinite,
  doubles,
  halves,
  lost,
  ...ARCHIVE_DAMAGES,
];
