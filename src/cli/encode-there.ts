import type { RequestEncoder } from "../engine/core/dictionary.ts";
import type { ServedCode } from "../engine/dictionaries/verify/step-margins.ts";
import { snakeCase } from "../engine/core/json-object.ts";
import type { EncodeOptions, Encoder } from "./encode-here.ts";
import type { ServerClient } from "./server-client.ts";

type WireCode = Omit<ServedCode, "residualNorms" | "labels"> & {
  readonly trace: { readonly residual_norms: readonly number[] };
  readonly labels?: readonly (string | null)[];
  readonly label_sources?: readonly (string | null)[];
};

/** Encodes by a running server over HTTP. It refuses `labels` where the dictionary has none. */
export function encodeThere(
  server: ServerClient,
  id: string,
  encoder: RequestEncoder | undefined,
  { sha256, labels = false }: EncodeOptions,
): Encoder {
  return {
    async encode({ data, count, width }, budget) {
      const { body } = await server.post(`/v1/dictionaries/${encodeURIComponent(id)}/encode`, {
        inputs: {
          data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"),
          dtype: "float32",
          shape: [count, width],
        },
        // Without a field of its own it would be the dictionary's default budget.
        budget: snakeCase(budget),
        ...(encoder && { encoder }),
        include: labels ? ["trace", "labels"] : ["trace"],
      });
      const said = body as { readonly sha256?: string; readonly codes?: readonly WireCode[] };
      if (said.codes?.length !== count) {
        throw new Error(`${server.address} answers without a code for each row. Is it a Pursuit server?`);
      }
      if (sha256 !== undefined && said.sha256 !== sha256) {
        throw new Error(
          `The server at ${server.address} serves another version of ${id} (sha256 ${said.sha256}) than lies here (${sha256}): its weights or settings differ.`,
        );
      }
      return said.codes.map(({ labels: texts, label_sources: sources, ...code }) => ({
        ...code,
        residualNorms: code.trace.residual_norms,
        ...(texts && {
          labels: texts.map((text, k) => (text === null ? null : { text, source: sources?.[k] ?? "" })),
        }),
      }));
    },
    close: () => Promise.resolve(),
  };
}
