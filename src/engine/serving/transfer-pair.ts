import type { DictionaryManifest } from "../core/dictionary.ts";
import type { CodesToDecode } from "../core/sparse-codes.ts";
import { EngineError } from "../core/errors.ts";

/** @throws EngineError PURSUIT_ROLE_MISMATCH; PURSUIT_NOT_TRANSFERABLE for different numbers of atoms */
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
 * Norms for decode under an input norm. The shift and scale of the first dictionary's rows do not apply to the second,
 * whose original rows never existed: outputs stay in its normed space.
 */
export function unnormed(count: number, { encoder }: DictionaryManifest): Pick<CodesToDecode, "norm"> {
  if (encoder.inputNorm === "none") return {};
  return { norm: { shift: new Float32Array(count), scale: new Float32Array(count).fill(1) } };
}
