/** Seeded numbers: the same in every run of a test. */
export interface Random {
  /** Uniform in [0, 1). */
  readonly next: () => number;
  /** Standard normal. */
  readonly normal: () => number;
  /** Uniform integer in [0, below). */
  readonly integer: (below: number) => number;
}

/** mulberry32: 32 bits of state, good enough to fill test arrays. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    integer: (below) => Math.floor(next() * below),
  };
}

/** [length] standard normal. */
export function normals(length: number, seed: number): Float32Array {
  const { normal } = random(seed);
  return Float32Array.from({ length }, normal);
}

/** [m, d] random atoms of the given norm. */
export function randomAtoms(m: number, d: number, seed: number, norm = 1): Float32Array {
  const atoms = normals(m * d, seed);
  for (let j = 0; j < m; j++) {
    const atom = atoms.subarray(j * d, (j + 1) * d);
    const scale = norm / Math.hypot(...atom);
    for (let i = 0; i < d; i++) atom[i]! *= scale;
  }
  return atoms;
}
