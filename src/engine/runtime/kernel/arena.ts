import { createMemory, MAX_MEMORY } from "./pursuit-kernel.ts";

/** What an arena is laid out for. */
export interface ArenaShape {
  readonly d: number;
  readonly m: number;
  /** Rows that a thread may work on at once, over all threads. */
  readonly lanes: number;
  /** Rows whose correlations are held at once. */
  readonly slots: number;
  /** Whether there is room for the Gram matrix. */
  readonly gram: boolean;
  /** Bytes of one memory at most; 4 GiB, where WebAssembly's ends, unless said otherwise. */
  readonly memoryLimit?: number;
}

/**
 * Atoms [from, from + count) of the Gram matrix's columns and of every row's correlations: a memory ends at 4 GiB, which
 * the matrix of 32,768 atoms alone would fill.
 */
export interface Shard {
  readonly memory: WebAssembly.Memory;
  readonly from: number;
  readonly count: number;
  /** `count` rounded up to whole blocks of the kernel, in floats. */
  readonly width: number;
  /** Address of [lanes] winners, a cache line each. */
  readonly winners: number;
  /** Address of [slots, width] correlations. */
  readonly correlations: number;
  /** Address of [width] by which orthogonal pursuit multiplies correlations; 0 beyond `count`. */
  readonly scales: number;
  /** Address of [lanes, 128] scores, two blocks a lane: room for orthogonal pursuit's pass. */
  readonly blocks: number;
  /** Address of [lanes, termCount] terms of eight bytes of orthogonal pursuit: see assembly/orthogonal.ts. */
  readonly terms: number;
  /** Address of [m, width] Gram columns. */
  readonly gram: number;
}

/** Where everything lies that the kernel works on, in memory shared by all threads. Addresses are in bytes. */
export interface Arena {
  readonly shape: ArenaShape;
  readonly shards: readonly Shard[];
  /** d rounded up to what the kernel takes at once, in floats. What lies beyond d is zero. */
  readonly rowWidth: number;
  /**
   * In the first shard: [m, rowWidth] atoms, twice [slots, rowWidth] rows (those in work, and the next while they are),
   * [slots, rowWidth] residuals, [lanes, rowWidth] float64.
   */
  readonly atoms: number;
  readonly rows: readonly [number, number];
  readonly residuals: number;
  readonly wide: number;
  /** [rowWidth] the centre b. */
  readonly centre: number;
  /** [lanes] lists of `listLength` addresses (4 bytes) and as many float64 results after them. */
  readonly lists: number;
  readonly listLength: number;
  /** Terms of one lane: a solution and the one that it is told from have no more than d coefficients each. */
  readonly termCount: number;
}

/**
 * Floats of one block of correlations, and of one turn over a row: see assembly/pursuit.ts. A row is touched by whole blocks
 * (assembly/touch.ts), which is safe: Gram rows are made of them, and atoms have rows behind them.
 */
const BLOCK = 64;
const ROW_BLOCK = 16;

/** Address 0 stays unused, and everything begins on a cache line. */
export const LINE = 64;

/** Scores of one lane's two blocks, in bytes, and entries of its list: as many products as one call of the kernel takes. */
const LANE_BLOCKS = 512;
const LIST_LENGTH = 256;
const LIST_ENTRY = 12;

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** @throws Error when not even one atom's share of the Gram matrix fits. */
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
        wide: take(8 * rowWidth * lanes),
        centre: take(4 * rowWidth),
        lists: take(LIST_ENTRY * LIST_LENGTH * lanes),
        listLength: LIST_LENGTH,
        termCount,
      };
    }
  }
  throw new Error(`the Gram matrix of ${m} atoms does not fit`);
}

/** Writes [m] values over the shards, each part at its address. */
export function scatterIntoShards({ shards }: Arena, values: Float32Array, addressIn: (shard: Shard) => number): void {
  for (const shard of shards) {
    const part = values.subarray(shard.from, shard.from + shard.count);
    new Float32Array(shard.memory.buffer).set(part, addressIn(shard) / 4);
  }
}

interface LayoutInput {
  readonly termCount: number;
  /** Bytes that the first shard holds beside its share. */
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
    return { from, count, width, winners: LINE, correlations, scales, blocks, terms, gram: gramAt, end };
  });
}
