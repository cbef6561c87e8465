/** Builds a request of the Open Inference Protocol as a client does. */
export interface PostedInput {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  /** Values in JSON, or bytes after it. */
  readonly data: readonly unknown[] | Uint8Array;
}

export interface V2Body {
  readonly payload: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** Binary inputs follow the JSON in their order; the header says where they begin. */
export function v2Body(inputs: readonly PostedInput[], fields: object = {}): V2Body {
  const binary = inputs.flatMap(({ data }) => (data instanceof Uint8Array ? [data] : []));
  const json = Buffer.from(
    JSON.stringify({
      ...fields,
      inputs: inputs.map(({ data, ...head }) =>
        data instanceof Uint8Array ? { ...head, parameters: { binary_data_size: data.length } } : { ...head, data },
      ),
    }),
  );
  if (binary.length === 0) return { payload: json, headers: {} };
  return {
    payload: Buffer.concat([json, ...binary]),
    headers: { "inference-header-content-length": String(json.length) },
  };
}

export const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** An output with its data unpacked. */
export interface Unpacked {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly binary: boolean;
  readonly data: readonly (number | string)[];
}

/** Parses an answer as the protocol says, and accounts for every byte. */
export function unpackAnswer(bytes: Buffer, headerLength: number | undefined) {
  const { outputs, ...head } = JSON.parse(bytes.subarray(0, headerLength ?? bytes.length).toString()) as {
    readonly model_name: string;
    readonly model_version: string;
    readonly id?: string;
    readonly outputs: readonly {
      readonly name: string;
      readonly datatype: string;
      readonly shape: readonly number[];
      readonly parameters?: { readonly binary_data_size: number };
      readonly data?: readonly (number | string)[];
    }[];
  };
  let at = headerLength ?? bytes.length;
  const unpacked = outputs.map(({ name, datatype, shape, parameters, data }): Unpacked => {
    if (data !== undefined) return { name, datatype, shape, binary: false, data };
    const part = bytes.subarray(at, (at += parameters!.binary_data_size));
    return {
      name,
      datatype,
      shape,
      binary: true,
      data: READERS[datatype as keyof typeof READERS](Uint8Array.from(part)),
    };
  });
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes of the answer belong to no output`);
  return { ...head, outputs: unpacked };
}

const READERS = {
  INT32: (bytes: Uint8Array) => [...new Int32Array(bytes.buffer)],
  FP32: (bytes: Uint8Array) => [...new Float32Array(bytes.buffer)],
  BYTES: (bytes: Uint8Array) => {
    const texts: string[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = new DataView(bytes.buffer).getUint32(at, true);
      texts.push(new TextDecoder().decode(bytes.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    return texts;
  },
} as const;
