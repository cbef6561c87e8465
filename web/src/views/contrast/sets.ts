/** Two sets of example rows, as the address keeps them: places in the list of examples. */

export type Side = "a" | "b";

/** `0-3,7`: places in ascending order, runs in short. */
export function placesToText(places: Iterable<number>): string {
  const all = [...new Set(places)].toSorted((x, y) => x - y);
  const runs: [number, number][] = [];
  for (const place of all) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === place - 1) last[1] = place;
    else runs.push([place, place]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

/** The inverse; what cannot be read is left out, and so are places from `count` on. */
export function placesFromText(text: string, count: number): Set<number> {
  const places = new Set<number>();
  for (const part of text.split(",")) {
    const [, from, to] = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part) ?? [];
    if (from === undefined) continue;
    for (let place = Number(from); place <= Math.min(Number(to ?? from), count - 1); place++) places.add(place);
  }
  return places;
}

/** The sets after a row is put into one of them: it leaves the other, and its own where it was in it already. */
export function moved(
  sets: Readonly<Record<Side, ReadonlySet<number>>>,
  place: number,
  side: Side,
): Record<Side, Set<number>> {
  const next = { a: new Set(sets.a), b: new Set(sets.b) };
  const was = next[side].has(place);
  next.a.delete(place);
  next.b.delete(place);
  if (!was) next[side].add(place);
  return next;
}

/** Places of the texts in which any of the words occurs. */
export function placesOf(texts: readonly string[], query: string): number[] {
  const words = query
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((word) => word !== "");
  if (words.length === 0) return [];
  return texts.flatMap((text, place) => (words.some((word) => text.toLowerCase().includes(word)) ? [place] : []));
}
