/** One whose time is taken. */
export interface Contestant {
  readonly name: string;
  /** Runs it once and tells what came of it, microseconds a row or another figure. */
  readonly measure: () => Promise<number>;
}

/**
 * The figures of all contestants, `rounds` of each, by name. They are measured in turn, one at a time, every other round
 * backwards: a change of the machine's speed meets all, and nobody always follows the same other.
 */
export async function inTurn(contestants: readonly Contestant[], rounds: number): Promise<Map<string, number[]>> {
  const figures = new Map<string, number[]>(contestants.map(({ name }) => [name, []]));
  if (figures.size < contestants.length) throw new Error("two contestants of one name");
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? contestants : contestants.toReversed();
    for (const { name, measure } of order) figures.get(name)!.push(await measure());
  }
  return figures;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error("the median of nothing");
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
