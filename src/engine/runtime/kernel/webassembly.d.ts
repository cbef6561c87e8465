/** The part of WebAssembly's JavaScript interface that is used here; TypeScript has it among the browser's types only. */
declare namespace WebAssembly {
  interface Module {}
  const Module: new (bytes: Uint8Array) => Module;
  /** Shared between threads unless declared otherwise. */
  class Memory<Buffer extends ArrayBufferLike = SharedArrayBuffer> {
    /** Sizes in pages of 64 KiB. */
    constructor(
      descriptor: Buffer extends ArrayBuffer ? { initial: number } : { initial: number; maximum: number; shared: true },
    );
    readonly buffer: Buffer;
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
}
