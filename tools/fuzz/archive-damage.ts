import { npyBytes } from "../../test/support/npy-bytes.ts";
import { callBytes, checkpointBytes, OP, tensorBytes, valueBytes } from "../../test/support/torch-bytes.ts";
import { zipBytes } from "../../test/support/zip-bytes.ts";
import type { Draw } from "./damage.ts";
import type { Expectation, FileCase } from "./file-cases.ts";
import { inFormat, type PublishedFolder, rewritten, type WeightsFile } from "./published-folders.ts";
import { deflated, dictBytes, type Format, torchBytes } from "./tensor-files.ts";

/** Hostile checkpoints and .npz files around the tensors of a fixture. */

/** Tensors that a publisher's class saves and that play no part in its codes, by layout: import does not read them. */
export const UNREAD = new RegExp(
  [
    "^openai\\S* (?:latents_activation_frequency|latents_mean_square|stats_last_nonzero)$",
    "^dictionary-learning-\\S*topk\\S* threshold$",
    "^dictionary-learning-(?:batch|matry)\\S* k$",
    "^overcomplete\\S* encoder\\.tied_to\\.",
    "^clt-training\\S* (?:W_dec|b_dec|W_skip)$",
    "^crosscoder\\S* (?:target_rms|k)$",
    "^matryoshka-sae\\S*(?:topk|matryoshka-sae-matryoshka)\\S* b_enc$",
    "^matryoshka-sae\\S* num_batches_not_active$",
  ].join("|"),
);

/** A change to a case that is made of a fixture in one of its formats; null where it has nothing to change. */
export type Damage = (draw: Draw, made: FileCase, folder: PublishedFolder, format: Format) => FileCase | null;

export const withFile = (made: FileCase, damage: string, name: string, content: Uint8Array): FileCase => ({
  ...made,
  damage,
  damagedFile: name,
  files: { ...made.files, [name]: content },
});

/** A checkpoint's pickle that is hostile, or merely unusual. */
function ofPickle(damage: string, write: (file: WeightsFile, name: string) => readonly [Buffer, Expectation]): Damage {
  return (draw, made, folder) => {
    if (!folder.formats.includes("torch")) return null;
    const file = draw.pick(folder.weightsFiles);
    const name = draw.pick(Object.keys(file.tensors));
    const whole = inFormat(folder, "torch");
    const [renamed] = rewritten(file, {}, "torch");
    const [content, expected] = write(file, name);
    return { ...withFile({ ...made, ...whole }, damage, renamed, content), expected };
  };
}

/** A checkpoint that holds one tensor's name with other opcodes. */
const withValue = ({ tensors, inside, settings }: WeightsFile, name: string, value: Buffer): Buffer => {
  const others = Object.keys(tensors).filter((one) => one !== name);
  const entries = others.map((one) => [one, tensorBytes({ shape: [1], strides: [1] })] as const);
  return checkpointBytes(dictBytes([...entries, [name, value]], { inside, settings }), { 0: Buffer.alloc(4) });
};

const forbidden = ofPickle("forbidden global", (file, name) => [
  withValue(file, name, callBytes("posix", "system", "touch escaped")),
  { refused: ["posix.system"] },
]);

const strides = ofPickle("strides out of the storage", (file, name) => [
  withValue(file, name, tensorBytes({ count: 1, shape: [2, 3], strides: [3, 1] })),
  { refused: ["storage 0"] },
]);

/** Each level holds the one before twice: 2⁴⁰ values of some hundred bytes. */
const bomb = ofPickle("memo bomb", (file, name) => {
  const levels = Array.from({ length: 40 }, (_, i) =>
    Buffer.concat([OP.emptyList, OP.mark, OP.get(i), OP.get(i), OP.appends, OP.put(i + 1)]),
  );
  const lists = levels.map((level) => Buffer.concat([level, Buffer.from("0")]));
  const start = Buffer.concat([valueBytes("x"), OP.put(0), Buffer.from("0")]);
  return [
    withValue(file, name, Buffer.concat([start, ...lists, OP.get(40)])),
    { refused: ["values", "opcode", "deep"] },
  ];
});

const shared = ofPickle("shared storage", ({ tensors, inside, settings }) => [
  torchBytes(tensors, { inside, settings, shared: true }),
  { read: "same" },
]);

/** 256 MiB of zeros in some hundred kilobytes; made on first use. */
let zeros: ReturnType<typeof deflated> | null = null;
const zeroMember = (): ReturnType<typeof deflated> => (zeros ??= deflated({ name: "", bytes: Buffer.alloc(1 << 28) }));

/** Members of a .npz that take much more than they should, or that would be written elsewhere. */
const zip: Damage = (draw, made, folder) => {
  if (!folder.formats.includes("npz")) return null;
  const file = draw.pick(folder.weightsFiles);
  const whole = inFormat(folder, "npz");
  const [renamed] = rewritten(file, {}, "npz");
  const read = Object.entries(file.tensors).filter(([name]) => !UNREAD.test(`${folder.kind} ${name}`));
  const members = read.map(([name, { shape: sizes, data }]) => ({
    name: `${name}.npy`,
    bytes: npyBytes(sizes, data),
  }));
  const [first, ...others] = members as [(typeof members)[number]];
  const [damage, content, refused] = draw.pick([
    ["zip bomb", () => [{ ...zeroMember(), name: first.name }, ...others], first.name],
    [
      "zip lies about a size",
      () => [{ ...deflated(first), size: draw.pick([0, 1, 2 ** 31, first.bytes.length + 1]) }, ...others],
      first.name,
    ],
    ["zip member twice", () => [...members, first], "twice"],
    [
      "path out of the folder",
      () => [
        ...members,
        { name: draw.pick(["../escaped.npy", "/tmp/escaped.npy", "..\\escaped.npy"]), bytes: first.bytes },
      ],
      "escaped",
    ],
  ] as const);
  return {
    ...withFile({ ...made, ...whole }, damage, renamed, zipBytes(content())),
    expected: { refused: [refused.replace(/\.npy$/, "")] },
  };
};

export const ARCHIVE_DAMAGES: readonly Damage[] = [forbidden, strides, bomb, shared, zip];
