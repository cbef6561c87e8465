/** The part of WebAssembly's JavaScript interface that is used here; TypeScript has it among the browser's types only. */
declare namespace WebAssembly {
  interface Module {}
  const Module: new (bytes: Uint8Array) => Module;
  class Memory {
    /** Sizes in pages of 64 KiB. */
    constructor(descriptor: { initial: number; maximum: number; shared: true });
    readonly buffer: SharedArrayBuffer;
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
}
