import type { CallOptions, Connection } from "./connection.ts";
import type { Edits, operations, SteeringSet, SteeringSets as ListedSets } from "./schema.ts";

type Query = NonNullable<operations["listSteeringSets"]["parameters"]["query"]>;

export interface WriteOptions extends CallOptions {
  /** Write only over the version with this etag; "*": any. Error 412 where it is another one by now. */
  readonly ifMatch?: string;
}

/** Named sets of edits, kept by the server. */
export class SteeringSets {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  list(dictionary: string, { signal, ...query }: Query & CallOptions = {}): Promise<ListedSets> {
    const path = `/v1/dictionaries/${encodeURIComponent(dictionary)}/steering`;
    return this.#connection.json({ method: "GET", path, query, ...(signal && { signal }) });
  }

  get(dictionary: string, name: string, { signal }: CallOptions = {}): Promise<SteeringSet> {
    return this.#connection.json({ method: "GET", path: pathOf(dictionary, name), ...(signal && { signal }) });
  }

  put(dictionary: string, name: string, edits: Edits, { signal, ifMatch }: WriteOptions = {}): Promise<SteeringSet> {
    return this.#connection.json({
      method: "PUT",
      path: pathOf(dictionary, name),
      body: { edits },
      ...(ifMatch !== undefined && { headers: { "if-match": ifMatch } }),
      repeatable: false,
      ...(signal && { signal }),
    });
  }

  async delete(dictionary: string, name: string, { signal, ifMatch }: WriteOptions = {}): Promise<void> {
    await this.#connection.send({
      method: "DELETE",
      path: pathOf(dictionary, name),
      ...(ifMatch !== undefined && { headers: { "if-match": ifMatch } }),
      repeatable: false,
      ...(signal && { signal }),
    });
  }
}

const pathOf = (dictionary: string, name: string): string =>
  `/v1/dictionaries/${encodeURIComponent(dictionary)}/steering/${encodeURIComponent(name)}`;
