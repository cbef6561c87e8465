import type { PursuitPath } from "../../src/engine/core/dictionary.ts";

/**
 * Bytes that a path takes at its largest: three copies of the atoms (the caller's, the runtime's, the kernel's) and its
 * Gram matrix, which the graph holds twice while it loads.
 */
export function bytesOfPath(path: PursuitPath, d: number, m: number): number {
  const matrices = { gram: 2, fused: 1, residual: 0, fused_residual: 0 }[path];
  return matrices * 4 * m * m + 3 * 4 * m * d;
}

/**
 * Paths that are held at once, so that they can be timed in turn, within `bytes`: one group where all fit. A path that
 * does not fit alone is in none.
 */
export function pathGroups(paths: readonly PursuitPath[], d: number, m: number, bytes: number): PursuitPath[][] {
  const groups: PursuitPath[][] = [];
  let free = 0;
  for (const path of paths) {
    const wanted = bytesOfPath(path, d, m);
    if (wanted > bytes) continue;
    if (wanted > free) {
      groups.push([]);
      free = bytes;
    }
    groups.at(-1)!.push(path);
    free -= wanted;
  }
  return groups;
}
