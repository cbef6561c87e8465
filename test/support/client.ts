/** A minimal client of the API. */
export interface Code {
  readonly indices: number[];
  readonly values: number[];
  readonly atoms: number;
  readonly steps: number;
  readonly residual_norm: number;
  readonly relative_error: number;
  readonly stop: string;
  readonly trace?: { readonly indices: number[]; readonly values: number[]; readonly residual_norms: number[] };
  readonly reconstruction?: number[];
}

export interface Encoded {
  readonly dictionary: string;
  readonly sha256: string;
  /** Where `include` asks for summary. */
  readonly mean_atoms?: number;
  readonly explained_variance?: number | null;
  readonly codes: readonly Code[];
}

/** POSTs JSON and returns the parsed answer. @throws Error when it is not 200 */
export async function post<T>(base: string, path: string, body: object): Promise<T> {
  const answer = await fetch(base + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (answer.status !== 200) throw new Error(`${path} answers ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as T;
}

export async function get<T>(base: string, path: string): Promise<T> {
  const answer = await fetch(base + path);
  if (answer.status !== 200) throw new Error(`${path} answers ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as T;
}
