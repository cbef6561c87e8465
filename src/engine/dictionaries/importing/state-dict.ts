import { Fault } from "../../core/errors.ts";
import type { Setting, TensorFile } from "../formats/tensor-file.ts";

/** Settings shown in a report; a checkpoint of a training run may hold hundreds. */
const SHOWN = 8;

/** The tensors of one state dict of a file, and notes on what else the file holds. */
export interface StateDict {
  readonly file: TensorFile;
  readonly notes: readonly string[];
}

/**
 * The state dict to import: the one that `key` names, the outermost, or the only nested one.
 * @param key value of --key, such as `model_state_dict`
 * @throws Fault naming the state dicts where the choice is open
 */
export function stateDictOf(file: TensorFile, key: string | undefined): StateDict {
  const dicts = file.stateDicts ?? [];
  const nested = dicts.filter((name) => name !== "");
  if (key !== undefined && !nested.includes(key)) {
    const choice = nested.length > 0 ? `its state dicts are ${listed(nested)}` : "it holds no nested state dict";
    throw new Fault("import", [`--key ${key}: ${file.path} holds no such state dict; ${choice}.`]);
  }
  const chosen = key ?? (dicts.includes("") || nested.length === 0 ? "" : nested[0]!);
  if (key === undefined && chosen !== "" && nested.length > 1) {
    throw new Fault("import", [
      `${file.path} holds ${nested.length} state dicts. Name the one to import: --key ${nested.slice(0, SHOWN).join(" | ")}`,
    ]);
  }
  return {
    file: chosen === "" ? file : nestedFile(file, `${chosen}.`),
    notes: [...(chosen === "" ? [] : [`Tensors are those of ${chosen} in the file.`]), ...settingsNote(file)],
  };
}

function nestedFile(file: TensorFile, prefix: string): TensorFile {
  const inside = [...file.tensors].filter(([name]) => name.startsWith(prefix));
  const settings = [...(file.settings ?? [])].filter(([name]) => name.startsWith(prefix));
  return {
    path: file.path,
    settings: new Map(settings.map(([name, value]) => [name.slice(prefix.length), value])),
    tensors: new Map(inside.map(([name, head]) => [name.slice(prefix.length), head])),
    readFloats: (name) => file.readFloats(prefix + name),
    close: () => file.close(),
  };
}

/** Integer tensors are no part of it: the layouts' readers look at them. */
function settingsNote({ settings, tensors }: TensorFile): readonly string[] {
  const plain = [...(settings ?? [])].filter(([name]) => !tensors.has(name));
  if (plain.length === 0) return [];
  // Outer settings first: an optimizer has many of its own.
  const depth = ([name]: readonly [string, Setting]): number => name.split(".").length;
  const sorted = plain.toSorted((a, b) => depth(a) - depth(b));
  const shown = sorted.slice(0, SHOWN).map(([name, value]) => `${name} ${asText(value)}`);
  const more = plain.length > SHOWN ? ` and ${plain.length - SHOWN} more` : "";
  return [`The file also holds ${shown.join(", ")}${more}; import uses none of them.`];
}

const asText = (value: Setting): string => {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};

const listed = (names: readonly string[]): string =>
  names.length > SHOWN ? `${names.slice(0, SHOWN).join(", ")}, …` : names.join(", ");
