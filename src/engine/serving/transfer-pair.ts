import type { DictionaryManifest } from "../core/dictionary.ts";
import type { CodesToDecode } from "../core/sparse-codes.ts";
import { EngineError } from "../core/errors.ts";

/** @throws EngineError PURSUIT_ROLE_MISMATCH; PURSUIT_NOT_TRANSFERABLE when atom j of one cannot stand for atom j of the other */
export function checkPair(
  ids: { readonly from: string; readonly to: string },
  from: DictionaryManifest,
  to: DictionaryManifest,
): void {
  for (const [id, { role }] of [
    [ids.from, from],
    [ids.to, to],
  ] as const) {
    if (role === "autoencoder") continue;
    const message = `Dictionary ${id} is a ${role}; rows are carried between autoencoders, which encode and decode one space.`;
    throw new EngineError("PURSUIT_ROLE_MISMATCH", message);
  }
  if (from.m === to.m) return;
  const message = `Dictionary ${ids.from} has ${from.m} atoms and ${ids.to} has ${to.m}; atom j of one stands for atom j of the other, so both need the same.`;
  throw new EngineError("PURSUIT_NOT_TRANSFERABLE", message);
}

/**
 * What decode asks of a dictionary with an input norm. The shift and scale of the first dictionary's rows say nothing of
 * the second's, whose rows nobody has seen: outputs stay in its normed space.
 */
export function unnormed(count: number, { encoder }: DictionaryManifest): Pick<CodesToDecode, "norm"> {
  if (encoder.inputNorm === "none") return {};
  return { norm: { shift: new Float32Array(count), scale: new Float32Array(count).fill(1) } };
}
