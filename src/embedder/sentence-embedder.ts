import { Tokenizer } from "@huggingface/tokenizers";

export const POOLINGS = ["mean", "cls"] as const;

/** What a sentence-embedding model does around its transformer, as its own files say. */
export interface EmbedderSettings {
  /** Tokens of a text at most, special tokens included; the rest of the text is cut off. */
  readonly maxTokens: number;
  /** Whether texts are lower-cased before the tokenizer sees them. */
  readonly lowerCase: boolean;
  /** `mean`: over all tokens. `cls`: the first token alone. */
  readonly pooling: (typeof POOLINGS)[number];
  /** Whether embeddings have unit length. */
  readonly normalize: boolean;
}

/** The parts of an ONNX Runtime session that are used here; those of onnxruntime-node and -web fit. */
interface Session<T> {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(
    feeds: Record<string, T>,
  ): Promise<Readonly<Record<string, { readonly data: unknown; readonly dims: readonly number[] }>>>;
}

/** Files of a tokenizer, parsed: tokenizer.json and tokenizer_config.json. */
export interface TokenizerFiles {
  readonly tokenizer: object;
  readonly config: object;
}

const INPUTS = ["input_ids", "attention_mask", "token_type_ids"];
/** Names that exporters give to the token embeddings [1, tokens, d]. */
const OUTPUTS = ["last_hidden_state", "token_embeddings"];

/**
 * Embeds texts as sentence-transformers does, on an ONNX Runtime session: the same code in Node and in a browser.
 * @throws Error where the model wants inputs or gives outputs that are not known here
 */
export class SentenceEmbedder<T> {
  readonly #settings: EmbedderSettings;
  readonly #tokenizer: Tokenizer;
  readonly #session: Session<T>;
  readonly #tensor: (data: BigInt64Array, dims: readonly number[]) => T;
  readonly #output: string;

  constructor(
    settings: EmbedderSettings,
    { tokenizer, config }: TokenizerFiles,
    session: Session<T>,
    tensor: (data: BigInt64Array, dims: readonly number[]) => T,
  ) {
    this.#settings = settings;
    this.#tokenizer = new Tokenizer(tokenizer, config);
    this.#session = session;
    this.#tensor = tensor;
    const unknown = session.inputNames.filter((name) => !INPUTS.includes(name));
    if (unknown.length > 0)
      throw new Error(`The ONNX model wants ${unknown.join(", ")}; known inputs are ${INPUTS.join(", ")}.`);
    const output = OUTPUTS.find((name) => session.outputNames.includes(name));
    if (output === undefined) {
      const given = session.outputNames.join(", ");
      throw new Error(`The ONNX model gives ${given}, and neither of ${OUTPUTS.join(" and ")}. Export it anew.`);
    }
    this.#output = output;
  }

  /** Token ids of a text, cut at the model's limit; special tokens stay. */
  tokensOf(text: string): number[] {
    const { maxTokens, lowerCase } = this.#settings;
    const given = text.trim();
    const prepared = lowerCase ? given.toLowerCase() : given;
    const ids: number[] = this.#tokenizer.encode(prepared).ids;
    if (ids.length <= maxTokens) return ids;
    const plain: number[] = this.#tokenizer.encode(prepared, { add_special_tokens: false }).ids;
    const added = ids.length - plain.length;
    const before = Array.from({ length: added + 1 }, (_, at) => at).find((at) =>
      plain.every((id, i) => ids[at + i] === id),
    );
    if (before === undefined) throw new Error("The tokenizer changes a text's tokens by its special tokens.");
    const room = Math.max(0, maxTokens - added);
    return [...ids.slice(0, before), ...plain.slice(0, room), ...ids.slice(before + plain.length)];
  }

  /** A text → its embedding [d]. */
  async embed(text: string): Promise<Float32Array> {
    const ids = this.tokensOf(text);
    const values = [
      BigInt64Array.from(ids, BigInt),
      new BigInt64Array(ids.length).fill(1n),
      new BigInt64Array(ids.length),
    ];
    const feeds = Object.fromEntries(
      INPUTS.map((name, i) => [name, this.#tensor(values[i]!, [1, ids.length])]).filter(([name]) =>
        this.#session.inputNames.includes(name as string),
      ),
    ) as Record<string, T>;
    const { data, dims } = (await this.#session.run(feeds))[this.#output]!;
    if (!(data instanceof Float32Array) || dims.length !== 3 || dims[1] !== ids.length)
      throw new Error(`The ONNX model's ${this.#output} is not float32 [1, tokens, d].`);
    const { pooling, normalize } = this.#settings;
    const row = pooled(data, dims[2]!, pooling === "mean" ? ids.length : 1);
    return normalize ? unit(row) : row;
  }
}

/** Mean of the first `count` tokens. */
function pooled(tokens: Float32Array, d: number, count: number): Float32Array {
  const sums = new Float64Array(d);
  for (let at = 0; at < count * d; at++) sums[at % d]! += tokens[at]!;
  return Float32Array.from(sums, (sum) => sum / count);
}

/** A row of zeros stays as it is. */
function unit(row: Float32Array): Float32Array {
  const norm = Math.hypot(...row);
  return norm === 0 ? row : row.map((value) => value / norm);
}

/** Least cosine of a text's embedding and the row that a dictionary's examples give for it. */
const SAME_MODEL = 0.99;

/**
 * Compares an embedding with a dictionary's own row of the same text. @returns a warning; null where they agree
 * @param model name of the model that the dictionary names
 */
export function disagreement(model: string, text: string, embedding: Float32Array, row: Float32Array): string | null {
  const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const cosine = dot(embedding, row) / Math.sqrt(dot(embedding, embedding) * dot(row, row));
  if (cosine >= SAME_MODEL) return null;
  return (
    `The embedder embeds the example "${text}" otherwise than the dictionary's rows are (cosine ${cosine.toFixed(3)}). ` +
    `Is it ${model}? Codes of sentences mean nothing otherwise.`
  );
}
