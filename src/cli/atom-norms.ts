/** Least and largest ||D_j|| of atoms [m, d]. */
export function atomNorms(atoms: Float32Array, d: number): { readonly least: number; readonly most: number } {
  let least = Infinity;
  let most = 0;
  for (let from = 0; from < atoms.length; from += d) {
    let squares = 0;
    for (let i = from; i < from + d; i++) squares += atoms[i]! ** 2;
    least = Math.min(least, squares);
    most = Math.max(most, squares);
  }
  return { least: Math.sqrt(least), most: Math.sqrt(most) };
}
