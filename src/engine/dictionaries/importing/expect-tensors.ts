import { Fault } from "../../core/errors.ts";
import { FormatError } from "../formats/format-error.ts";
import { openTensorFile, type TensorFile } from "../formats/tensor-file.ts";

/** dictionary_learning leaves these NaN where it norms no rows. */
const MAY_BE_NAN = /^activation_(?:mean|std)$/;

/**
 * A publisher's file, whose numbers must be finite wherever they are read.
 * @throws FormatError when it is no sound file; reading throws one that names a tensor and the place of a number
 */
export async function openWeights(path: string): Promise<TensorFile> {
  const file = await openTensorFile(path);
  return {
    path: file.path,
    tensors: file.tensors,
    ...(file.settings && { settings: file.settings }),
    ...(file.stateDicts && { stateDicts: file.stateDicts }),
    async readFloats(name) {
      const values = await file.readFloats(name);
      if (!MAY_BE_NAN.test(name)) checkFinite(file, name, values);
      return values;
    },
    close: () => file.close(),
  };
}

function checkFinite({ path, tensors }: TensorFile, name: string, values: Float32Array): void {
  let at = 0;
  while (at < values.length && Number.isFinite(values[at])) at++;
  if (at === values.length) return;
  const place: number[] = [];
  let rest = at;
  for (const size of tensors.get(name)!.shape.toReversed()) {
    place.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  throw new FormatError(
    path,
    `${name.slice(0, 80)}[${place.join(", ")}] is ${values[at]}; every weight must be finite. Training diverged, or the file is damaged: take another checkpoint.`,
  );
}

/** @throws FormatError where a tensor is absent or of another shape. */
export function expectShape({ path, tensors }: TensorFile, name: string, shape: readonly number[]): void {
  const found = tensors.get(name)?.shape;
  if (found?.join() === shape.join()) return;
  const wanted = `[${shape.join(", ")}]`;
  throw new FormatError(
    path,
    found ? `${name} is [${found.join(", ")}]; it should be ${wanted}.` : `holds no tensor ${name} ${wanted}.`,
  );
}

/** A matrix's rows and columns. @throws FormatError where the tensor is absent or no matrix */
export function matrixShape({ path, tensors }: TensorFile, name: string, shown = name): readonly [number, number] {
  const shape = tensors.get(name)?.shape;
  if (shape === undefined) throw new FormatError(path, `holds no tensor ${shown}, a matrix.`);
  if (shape.length !== 2) throw new FormatError(path, `${shown} is [${shape.join(", ")}]; it should be a matrix.`);
  return [shape[0]!, shape[1]!];
}

/**
 * A layout's tensors, each of its shape, and no other.
 * @param settled other tensors that the caller has looked at
 * @throws FormatError, Fault
 */
export function expectTensors(
  file: TensorFile,
  shapes: Readonly<Record<string, readonly number[]>>,
  layout: string,
  settled: readonly string[] = [],
): void {
  for (const [name, shape] of Object.entries(shapes)) expectShape(file, name, shape);
  expectOnly(file, [...Object.keys(shapes), ...settled], layout);
}

/** A tensor that a layout lacks is a sign of another class, whose encoder does something with it. @throws Fault */
export function expectOnly({ path, tensors }: TensorFile, known: readonly string[], layout: string): void {
  const others = [...tensors.keys()].filter((name) => !known.includes(name));
  if (others.length === 0) return;
  const shown = others.slice(0, 8).map((name) => name.slice(0, 80));
  throw new Fault("import", [
    `${path} holds ${shown.join(", ")}, which ${layout} does not save: it may be another class. ` +
      `If they play no part in the encoder, save ${known.join(" and ")} alone.`,
  ]);
}
