/** Words taken into one description. */
const WORDS = 3;
/** How many times as often as in all texts a word must occur in a feature's to describe it. */
const LIFT = 4;
/** Texts that must hold a word for it to be shared. */
const FEWEST = 2;
/** Letters of the shortest word; and those by which two words count as forms of one, at least and at most. */
const SHORTEST = 3;
const STEM = [4, 5] as const;
/** Words counted before those that occur once are forgotten. */
const MOST_WORDS = 1 << 20;

/** A text and the feature's value in its row. */
export interface WeighedText {
  readonly text: string;
  readonly value: number;
}

const wordsOf = (text: string): Set<string> =>
  new Set(
    (text.toLowerCase().match(/\p{L}[\p{L}\p{M}'’-]*/gu) ?? []).filter(
      (word) => word.length >= SHORTEST || /[^\p{Script=Latin}]/u.test(word),
    ),
  );

function isForm(one: string, other: string): boolean {
  const letters = Math.max(STEM[0], Math.min(STEM[1], one.length, other.length));
  return one.slice(0, letters) === other.slice(0, letters);
}

/** In how many of all texts each word occurs, so that a feature's words can be told from everybody's. */
export class WordRates {
  readonly #counts = new Map<string, number>();
  #texts = 0;

  add(text: string): void {
    this.#texts++;
    for (const word of wordsOf(text)) this.#counts.set(word, (this.#counts.get(word) ?? 0) + 1);
    if (this.#counts.size <= MOST_WORDS) return;
    for (const [word, count] of this.#counts) if (count === 1) this.#counts.delete(word);
  }

  /**
   * Describes a feature by the words that its top texts share and other texts lack; null where they hold no words. A word
   * weighs the values of the texts that hold it, times the logarithm of how much more often than in all texts it occurs.
   * Where no word is shared, those of the largest weight stand alone.
   * @param tops texts of the feature's largest values
   */
  describe(tops: readonly WeighedText[]): string | null {
    const held = new Map<string, { count: number; value: number }>();
    for (const { text, value } of tops) {
      for (const word of wordsOf(text)) {
        const before = held.get(word) ?? { count: 0, value: 0 };
        held.set(word, { count: before.count + 1, value: before.value + Math.abs(value) });
      }
    }
    const weighed = [...held].map(([word, { count, value }]) => {
      const share = Math.max(1, this.#counts.get(word) ?? 1) / Math.max(1, this.#texts);
      const lift = count / tops.length / share;
      return { word, shared: count >= FEWEST && lift >= LIFT, weight: value * Math.log(lift) };
    });
    weighed.sort((a, b) => b.weight - a.weight || (a.word < b.word ? -1 : 1));
    const shared = weighed.filter((word) => word.shared);
    const chosen: string[] = [];
    for (const { word } of shared.length > 0 ? shared : weighed) {
      if (chosen.some((other) => isForm(word, other))) continue;
      chosen.push(word);
      if (chosen.length === WORDS) break;
    }
    return chosen.length === 0 ? null : chosen.join(", ");
  }
}
