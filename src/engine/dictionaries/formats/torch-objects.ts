import { FormatError } from "./format-error.ts";
import { asKey, type PickleRules, PickleTuple, readPickle } from "./pickle.ts";
import type { Setting } from "./tensor-file.ts";

/**
 * The objects in a torch checkpoint's pickle: tensors as descriptions of where their numbers lie, and plain settings.
 * Accepts the globals that state dicts need and refuses all others by name.
 */

/** A state dict of a language model has some thousand tensors, a dictionary a dozen. */
const MAX_TENSORS = 100_000;

/** Dicts and lists inside one another. A checkpoint with its optimizer is 5 deep. */
const MAX_DEPTH = 32;

/** Values that are visited. A memo lets a small pickle repeat one value many times over. */
const MAX_VALUES = 1_000_000;

/** Characters of a dotted name. A small pickle can put many tensors under one long key. */
const MAX_NAME = 1000;

/** torch's own limit. */
const MAX_DIMENSIONS = 64;

/** Element types by the storage class that holds them: safetensors' names, and bytes an element. */
const STORAGES: Readonly<Record<string, { readonly dtype: string; readonly width: number }>> = {
  "torch.DoubleStorage": { dtype: "F64", width: 8 },
  "torch.FloatStorage": { dtype: "F32", width: 4 },
  "torch.HalfStorage": { dtype: "F16", width: 2 },
  "torch.BFloat16Storage": { dtype: "BF16", width: 2 },
  "torch.LongStorage": { dtype: "I64", width: 8 },
  "torch.IntStorage": { dtype: "I32", width: 4 },
  "torch.ShortStorage": { dtype: "I16", width: 2 },
  "torch.CharStorage": { dtype: "I8", width: 1 },
  "torch.ByteStorage": { dtype: "U8", width: 1 },
  "torch.BoolStorage": { dtype: "BOOL", width: 1 },
};

const REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2";
const REBUILD_PARAMETER = "torch._utils._rebuild_parameter";
const REBUILD_FROM_TYPE = "torch._tensor._rebuild_from_type_v2";

/** Globals that are called, or named as the type of a tensor. */
const CALLABLES: ReadonlySet<string> = new Set([
  "collections.OrderedDict",
  "torch.Size",
  "torch.device",
  "torch.Tensor",
  "torch.nn.parameter.Parameter",
  REBUILD_TENSOR,
  REBUILD_PARAMETER,
  REBUILD_FROM_TYPE,
]);

const DTYPES =
  /^torch\.(?:float(?:16|32|64)|bfloat16|half|float|double|u?int(?:8|16|32|64)|short|int|long|bool|complex(?:64|128))$/;

/** Numbers of one storage, as its elements' type. */
export interface TorchStorage {
  readonly key: string;
  readonly dtype: string;
  /** Bytes an element. */
  readonly width: number;
  /** Elements. */
  readonly count: number;
}

/** A view of a storage. Offset and strides are in elements. */
export interface TorchTensor {
  readonly storage: TorchStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A checkpoint's content, its nested dicts flattened to dotted names. */
export interface TorchContents {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Every storage that the pickle refers to, by key. */
  readonly storages: ReadonlyMap<string, TorchStorage>;
  /** Names of the dicts that hold tensors themselves; "" is the outermost. */
  readonly stateDicts: readonly string[];
  readonly settings: ReadonlyMap<string, Setting>;
}

/** The name of a tensor that was saved by itself. */
export const TORCH_TENSOR = "tensor";

/** The pickles of one checkpoint. */
export interface TorchPickles {
  readonly form: "zip" | "legacy";
  /** The checkpoint's path, for messages. */
  readonly file: string;
  /** data.pkl, or the start of a legacy file. */
  readonly bytes: Uint8Array;
}

/** What they say. `keys` and `end` are of the legacy form: the storages in the order of their data, and its start. */
export interface TorchDescription {
  readonly contents: TorchContents;
  readonly keys: readonly string[];
  readonly end: number;
}

/** @throws FormatError */
export function describeTorch({ form, file, bytes }: TorchPickles): TorchDescription {
  if (form === "legacy") return readLegacyPickles(file, bytes);
  const rules = new TorchRules(5);
  const { value, end } = readPickle(file, bytes, rules);
  return { contents: contentsOf(file, value, rules.storages), keys: [], end };
}

/** 0x1950a86a20f9469cfc6c, the first pickle of the form before the zip. */
export const LEGACY_MAGIC = Buffer.from("80028a0a6cfc9c46f9206aa850192e", "hex");

/** The five pickles that a checkpoint of torch before 1.6 starts with: magic number, protocol, system, object, keys. */
function readLegacyPickles(file: string, head: Uint8Array): TorchDescription {
  let end = LEGACY_MAGIC.length;
  const rules = new TorchRules(6);
  const next = (): unknown => {
    const read = readPickle(file, head.subarray(end), rules);
    end += read.end;
    return read.value;
  };
  const protocol = next();
  if (protocol !== 1001) throw new FormatError(file, `is of protocol ${String(protocol)}; 1001 is read.`);
  const system = next();
  if (!(system instanceof Map) || system.get("little_endian") !== true) {
    throw new FormatError(file, "was saved on a big-endian machine. Load it with torch and save it again.");
  }
  const contents = contentsOf(file, next(), rules.storages);
  const keys = next();
  if (!Array.isArray(keys) || keys.some((key) => typeof key !== "string") || new Set(keys).size < keys.length) {
    throw new FormatError(file, "has no valid list of storages: it is damaged.");
  }
  return { contents, keys: keys as string[], end };
}

class Global {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

class Tensor implements TorchTensor {
  readonly storage: TorchStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: TorchStorage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** Which globals stand for what. */
class TorchRules implements PickleRules {
  readonly storages = new Map<string, TorchStorage>();
  readonly #idLength: number;

  /** @param idLength items of a persistent id: 5, in the legacy form 6 */
  constructor(idLength: number) {
    this.#idLength = idLength;
  }

  global(name: string): unknown {
    if (CALLABLES.has(name) || Object.hasOwn(STORAGES, name)) return new Global(name);
    if (DTYPES.test(name)) return name;
    throw new Error(`names ${name}, which is not read. ${adviceOn(name)}`);
  }

  call(callable: unknown, args: readonly unknown[]): unknown {
    if (!(callable instanceof Global)) throw new Error("calls something that is not a function");
    return callGlobal(callable.name, args);
  }

  /** ("storage", class, key, device, elements[, view]) */
  persistent(id: unknown): TorchStorage {
    const items = id instanceof PickleTuple ? id.items : [];
    const [kind, type, key, , count, view = null] = items;
    if (items.length !== this.#idLength || kind !== "storage" || typeof key !== "string" || !isSize(count)) {
      throw new Error("holds a reference that is not a storage");
    }
    if (!(type instanceof Global) || !Object.hasOwn(STORAGES, type.name)) {
      throw new Error("holds a storage of no known type");
    }
    if (view !== null) throw new Error("holds a view of a storage. Load it with torch and save it again");
    const storage = this.storages.get(key) ?? { key, count, ...STORAGES[type.name]! };
    if (storage.count !== count || storage.dtype !== STORAGES[type.name]!.dtype) {
      throw new Error(`describes storage ${key} in two ways`);
    }
    this.storages.set(key, storage);
    return storage;
  }

  /** Attributes of an OrderedDict, such as a state dict's _metadata, say nothing about its tensors. */
  build(target: unknown): void {
    if (!(target instanceof Map)) throw new Error("sets attributes of something that is not a dict");
  }
}

function callGlobal(name: string, args: readonly unknown[]): unknown {
  switch (name) {
    case "collections.OrderedDict":
      return orderedDict(args);
    case "torch.Size": {
      if (args.length !== 1 || !isSizes(args[0])) throw new Error("makes a torch.Size of something other than sizes");
      return args[0];
    }
    case "torch.device": {
      if (!args.every((arg) => typeof arg === "string" || isSize(arg)))
        throw new Error("names an invalid torch.device");
      return args.join(":");
    }
    case REBUILD_TENSOR:
      return tensorOf(args);
    case REBUILD_PARAMETER: {
      if (!(args[0] instanceof Tensor)) throw new Error("makes a parameter of something that is not a tensor");
      return args[0];
    }
    case REBUILD_FROM_TYPE: {
      // (function, type, arguments, attributes): what a subclass of torch.Tensor adds says nothing about its numbers.
      const [rebuild, , inner] = args;
      const known =
        rebuild instanceof Global && (rebuild.name === REBUILD_TENSOR || rebuild.name === REBUILD_PARAMETER);
      if (!known || !(inner instanceof PickleTuple)) throw new Error("rebuilds a tensor in an unknown way");
      return callGlobal(rebuild.name, inner.items);
    }
    default:
      throw new Error(`calls ${name}, which is not a function`);
  }
}

/** Empty, or of a list of pairs, as Python 2 writes it. */
function orderedDict(args: readonly unknown[]): Map<unknown, unknown> {
  const [pairs = [], ...others] = args;
  const dict = new Map<unknown, unknown>();
  if (!Array.isArray(pairs) || others.length > 0) throw new Error("makes an OrderedDict of something other than pairs");
  for (const pair of pairs as unknown[]) {
    const items = pair instanceof PickleTuple ? pair.items : pair;
    if (!Array.isArray(items) || items.length !== 2)
      throw new Error("makes an OrderedDict of something other than pairs");
    dict.set(asKey(items[0]), items[1]);
  }
  return dict;
}

/** (storage, offset, size, stride, requires_grad, hooks[, metadata]) */
function tensorOf([storage, offset, shape, strides, , , metadata = null]: readonly unknown[]): Tensor {
  if (!isStorage(storage)) throw new Error("rebuilds a tensor without a storage");
  if (!isSize(offset) || !isSizes(shape) || !isSizes(strides)) {
    throw new Error("rebuilds a tensor whose offset, size or stride is not an integer ≥ 0");
  }
  const sizes = shape.items as readonly number[];
  const steps = strides.items as readonly number[];
  if (sizes.length !== steps.length || sizes.length > MAX_DIMENSIONS) {
    throw new Error(`rebuilds a tensor of ${sizes.length} sizes and ${steps.length} strides`);
  }
  if (metadata !== null && !(metadata instanceof Map && metadata.size === 0)) {
    throw new Error("rebuilds a tensor with a conjugate or negative bit. Save tensor.resolve_neg().resolve_conj()");
  }
  if (!sizes.includes(0)) {
    const last = sizes.reduce((at, size, axis) => at + (size - 1) * steps[axis]!, offset);
    if (!(last < storage.count)) {
      throw new Error(
        `rebuilds a tensor of shape [${sizes.join(", ")}] that ends at element ${last} of storage ${storage.key}, which has ${storage.count}`,
      );
    }
  }
  return new Tensor(storage, offset, sizes, steps);
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isSizes = (value: unknown): value is PickleTuple => value instanceof PickleTuple && value.items.every(isSize);
const isStorage = (value: unknown): value is TorchStorage =>
  typeof value === "object" && value !== null && "key" in value && "width" in value;

/** What to do about a global that is not read. */
function adviceOn(name: string): string {
  if (/sparse/.test(name)) return "Save a sparse tensor as tensor.to_dense()";
  if (/qtensor/.test(name)) return "Save a quantised tensor as tensor.dequantize()";
  if (/^torch\._utils\._rebuild|Storage$/.test(name)) return "Save its tensors as float32: tensor.float()";
  if (name === "torch.storage._load_from_bytes") {
    return "It is a plain pickle with others inside; save the tensors with torch.save";
  }
  if (name.startsWith("numpy.")) return "Save numbers as Python's own and arrays as torch.from_numpy(array)";
  if (name.startsWith("argparse.")) return "Save vars(args) instead of args";
  return (
    "An object of a class needs that class's code, which is never run. " +
    "Where you have it, save the weights alone: torch.save(model.state_dict(), path)"
  );
}

/** Flattens dicts and lists to dotted names. @throws FormatError */
function contentsOf(file: string, root: unknown, storages: ReadonlyMap<string, TorchStorage>): TorchContents {
  const tensors = new Map<string, TorchTensor>();
  const settings = new Map<string, Setting>();
  const stateDicts = new Set<string>();
  let visited = 0;

  const visit = (value: unknown, path: string, depth: number): void => {
    if (++visited > MAX_VALUES) throw new FormatError(file, `holds more than ${MAX_VALUES} values.`);
    if (depth > MAX_DEPTH) throw new FormatError(file, `nests dicts and lists more than ${MAX_DEPTH} deep.`);
    if (path.length > MAX_NAME) throw new FormatError(file, `holds a name of more than ${MAX_NAME} characters.`);
    if (value instanceof Tensor) {
      const name = path === "" ? TORCH_TENSOR : path;
      if (tensors.has(name))
        throw new FormatError(file, `holds two tensors that are both called ${JSON.stringify(name)}.`);
      if (tensors.size === MAX_TENSORS) throw new FormatError(file, `holds more than ${MAX_TENSORS} tensors.`);
      const { storage, offset, shape, strides } = value;
      tensors.set(name, { storage, offset, shape, strides });
      return;
    }
    if (value instanceof Map) {
      if ([...value.values()].some((one) => one instanceof Tensor)) stateDicts.add(path);
      for (const [key, one] of value) visit(one, path === "" ? String(key) : `${path}.${String(key)}`, depth + 1);
      return;
    }
    const items = itemsOf(value);
    if (items !== null && items.some((one) => one instanceof Map || one instanceof Tensor || itemsOf(one) !== null)) {
      for (const [i, one] of items.entries()) visit(one, path === "" ? String(i) : `${path}.${i}`, depth + 1);
      return;
    }
    visited += items?.length ?? 0;
    settings.set(path, items === null ? plain(value) : items.map(plain));
  };
  visit(root, "", 0);
  if (tensors.size === 0) throw new FormatError(file, "holds no tensors.");
  return { tensors, storages, stateDicts: [...stateDicts], settings };
}

function itemsOf(value: unknown): readonly unknown[] | null {
  if (value instanceof PickleTuple) return value.items;
  if (value instanceof Set) return [...value];
  return Array.isArray(value) ? value : null;
}

/** A storage or a global by itself is no setting. */
function plain(value: unknown): Setting {
  if (typeof value === "bigint") return String(value);
  if (value === null || ["string", "number", "boolean"].includes(typeof value)) return value as Setting;
  return null;
}
