import { createMemory, MAX_MEMORY } from "./pursuit-kernel.ts";

/** Sizes that an arena is laid out for. */
export interface ArenaShape {
  readonly d: number;
  readonly m: number;
  /** Rows in work at once, over all threads. */
  readonly lanes: number;
  /** Rows whose correlations are held at once. */
  readonly slots: number;
  /** Whether to reserve room for the Gram matrix. */
  readonly gram: boolean;
  /** Maximum bytes of one memory; default 4 GiB, the limit of WebAssembly. */
  readonly memoryLimit?: number;
}

/**
 * Columns [from, from + count) of the Gram matrix and of every row's correlations. Several shards are needed because a
 * memory ends at 4 GiB, the size of the matrix of 32,768 atoms.
 */
export interface Shard {
  readonly memory: WebAssembly.Memory;
  readonly from: number;
  readonly count: number;
  /** `count` rounded up to whole blocks of the kernel, in floats. */
  readonly width: number;
  /** Address of [lanes] arg-max results, a cache line each. */
  readonly argmaxes: number;
  /** Address of [slots, width] correlations. */
  readonly correlations: number;
  /** Address of [width] factors for the scores of orthogonal pursuit; 0 beyond `count`. */
  readonly scales: number;
  /** Address of [lanes, 128] scores: two blocks a lane, scratch space of orthogonal pursuit. */
  readonly blocks: number;
  /** Address of [lanes, termCount] terms of orthogonal pursuit, eight bytes each (assembly/orthogonal.ts). */
  readonly terms: number;
  /** Address of [m, width] Gram columns. */
  readonly gram: number;
}

/** Layout of the memory that the kernel works on, shared by all threads. Addresses are in bytes. */
export interface Arena {
  readonly shape: ArenaShape;
  readonly shards: readonly Shard[];
  /** d rounded up to the kernel's block of a row, in floats. Values beyond d are zero. */
  readonly rowWidth: number;
  /**
   * Addresses in the first shard: [m, rowWidth] atoms; [slots, rowWidth] rows, twice (in work, and next); [slots,
   * rowWidth] float32 residuals; [lanes, rowWidth] float64 rows.
   */
  readonly atoms: number;
  readonly rows: readonly [number, number];
  readonly residuals: number;
  readonly rows64: number;
  /** [rowWidth] the centre b. */
  readonly centre: number;
  /** Address of [lanes] lists: `listLength` addresses (4 bytes each), then as many float64 results. */
  readonly lists: number;
  readonly listLength: number;
  /** Terms of one lane. The current and the initial solution have at most d coefficients each. */
  readonly termCount: number;
}

/**
 * Floats in one block of correlations, and in one block of a row (assembly/pursuit.ts). Prefetching reads whole blocks
 * beyond a row's end (assembly/prefetch.ts): safe, because Gram rows consist of them and atoms have rows behind them.
 */
const BLOCK = 64;
const ROW_BLOCK = 16;

/** Bytes of a cache line. Address 0 stays unused; every section starts on a cache line. */
export const LINE = 64;

/** Bytes of one lane's two score blocks; entries of its list, the most products of one kernel call. */
const LANE_BLOCKS = 512;
const LIST_LENGTH = 256;
const LIST_ENTRY = 12;

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** @throws Error when not even one atom's share of the Gram matrix fits */
export function createArena(shape: ArenaShape): Arena {
  const { d, m, lanes, slots, gram, memoryLimit = MAX_MEMORY } = shape;
  const rowWidth = roundUp(d, ROW_BLOCK);
  const termCount = 2 * Math.min(d, m);
  const own = 4 * rowWidth * (m + 3 * slots + 1) + (8 * rowWidth + LIST_ENTRY * LIST_LENGTH) * lanes;
  for (let count = 1; count <= m; count++) {
    const layouts = layOut({ termCount, own, m, lanes, slots, gram }, count);
    if (layouts.every(({ end }) => end <= memoryLimit)) {
      const shards = layouts.map(({ end, ...shard }) => ({ ...shard, memory: createMemory(end) }));
      let at = LINE + LINE * lanes;
      const take = (bytes: number): number => {
        const from = at;
        at += bytes;
        return from;
      };
      return {
        shape,
        shards,
        rowWidth,
        atoms: take(4 * rowWidth * m),
        rows: [take(4 * rowWidth * slots), take(4 * rowWidth * slots)],
        residuals: take(4 * rowWidth * slots),
        rows64: take(8 * rowWidth * lanes),
        centre: take(4 * rowWidth),
        lists: take(LIST_ENTRY * LIST_LENGTH * lanes),
        listLength: LIST_LENGTH,
        termCount,
      };
    }
  }
  throw new Error(`the Gram matrix of ${m} atoms does not fit`);
}

/** Writes [m] values into the shards, each part at its address. */
export function scatterIntoShards({ shards }: Arena, values: Float32Array, addressIn: (shard: Shard) => number): void {
  for (const shard of shards) {
    const part = values.subarray(shard.from, shard.from + shard.count);
    new Float32Array(shard.memory.buffer).set(part, addressIn(shard) / 4);
  }
}

interface LayoutInput {
  readonly termCount: number;
  /** Bytes in the first shard beside its share of the columns. */
  readonly own: number;
  readonly m: number;
  readonly lanes: number;
  readonly slots: number;
  readonly gram: boolean;
}

function layOut(
  { termCount, own, m, lanes, slots, gram }: LayoutInput,
  shards: number,
): (Omit<Shard, "memory"> & { readonly end: number })[] {
  const share = roundUp(Math.ceil(m / shards), BLOCK);
  return Array.from({ length: Math.ceil(m / share) }, (_, i) => {
    const from = i * share;
    const count = Math.min(share, m - from);
    const width = roundUp(count, BLOCK);
    const correlations = LINE + LINE * lanes + (i === 0 ? roundUp(own, LINE) : 0);
    const scales = correlations + 4 * width * slots;
    const blocks = scales + 4 * width;
    const terms = blocks + LANE_BLOCKS * lanes;
    const gramAt = roundUp(terms + 8 * termCount * lanes, LINE);
    const end = gramAt + (gram ? 4 * width * m : 0);
    return { from, count, width, argmaxes: LINE, correlations, scales, blocks, terms, gram: gramAt, end };
  });
}
