/** A value beside tensors, such as a number of epochs. */
export type Setting = null | boolean | number | string | readonly Setting[];

/** An open file of named tensors. Its head has been checked; no tensor is read yet. */
export interface TensorFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>;
  /** Plain values that the file holds beside its tensors, by dotted name. */
  readonly settings?: ReadonlyMap<string, Setting>;
  /** Names of nested dicts that hold tensors themselves; "" is the outermost. Their tensors' names begin with it. */
  readonly stateDicts?: readonly string[];
  /**
   * One tensor as float32, row-major.
   * @throws FormatError when it is absent, not of a floating-point type, or not what the head says.
   */
  readFloats(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}
