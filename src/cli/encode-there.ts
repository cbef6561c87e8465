import type { ServedCode } from "../engine/dictionaries/verify/served-code.ts";
import type { Encoder } from "./encode-here.ts";
import type { EncoderName } from "./encoder-option.ts";

type WireCode = Omit<ServedCode, "residualNorms"> & { readonly trace: { readonly residual_norms: readonly number[] } };

/**
 * A running server over HTTP.
 * @param key sent where there is one.
 * @param sha256 version that the answers are compared by; a server with another one is refused.
 */
export function encodeThere(base: string, id: string, encoder: EncoderName, sha256: string, key?: string): Encoder {
  if (!URL.canParse(base)) throw new Error(`--url ${base} is no address; one looks like http://127.0.0.1:8080.`);
  const url = new URL(`/v1/dictionaries/${id}/encode`, base);
  return {
    async encode({ data, count, width }, { maxAtoms }) {
      const body = {
        inputs: {
          data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"),
          dtype: "float32",
          shape: [count, width],
        },
        // Without a field of its own it would be the dictionary's default budget.
        budget: maxAtoms === undefined ? {} : { max_atoms: maxAtoms },
        ...(encoder !== "own" && { encoder }),
        include: ["trace"],
      };
      const answer = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", ...(key !== undefined && { authorization: `Bearer ${key}` }) },
        body: JSON.stringify(body),
      }).catch((error: unknown) => {
        throw new Error(`No server answers at ${base}; start one with "pursuit serve".`, { cause: error });
      });
      const said = (await answer.json().catch(() => ({}))) as {
        sha256?: string;
        codes?: readonly WireCode[];
        detail?: string;
      };
      if (!answer.ok || said.codes === undefined) {
        const hint =
          answer.status === 404 ? ` One imported since it started: POST /v2/repository/models/${id}/load.` : "";
        throw new Error(`${url.href} answers ${answer.status}: ${said.detail ?? "no codes"}${hint}`);
      }
      if (said.sha256 !== sha256) {
        throw new Error(
          `The server at ${base} serves another version of ${id} (sha256 ${said.sha256}) than lies here (${sha256}): its weights or settings differ.`,
        );
      }
      return said.codes.map((code) => ({ ...code, residualNorms: code.trace.residual_norms }));
    },
    close: () => Promise.resolve(),
  };
}
