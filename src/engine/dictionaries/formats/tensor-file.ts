/** An open file of named tensors. Its head has been checked; no tensor is read yet. */
export interface TensorFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>;
  /**
   * One tensor as float32, row-major.
   * @throws FormatError when it is absent, not of a floating-point type, or not what the head says.
   */
  readFloats(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}
