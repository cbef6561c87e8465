/** Words taken into one description. */
const WORDS = 3;
/** A word describes a feature if this share of its top texts holds it. */
const SHARED = 0.25;
/** Letters by which two words count as forms of one. */
const STEM = 5;
/** Words counted before those that occur once are forgotten. */
const MOST_WORDS = 1 << 20;

const wordsOf = (text: string): Set<string> =>
  new Set((text.toLowerCase().match(/\p{L}[\p{L}\p{M}'’-]*/gu) ?? []).filter((word) => word.length > 1));

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
   * Describes a feature by the words that its top texts share more than all texts do; null where they hold no words.
   * Each word weighs the number of top texts that hold it times the logarithm of how much more often they do.
   * @param texts of the feature's largest values
   */
  describe(texts: readonly string[]): string | null {
    const held = new Map<string, number>();
    for (const text of texts) for (const word of wordsOf(text)) held.set(word, (held.get(word) ?? 0) + 1);
    const weighed = [...held].map(([word, count]) => {
      const share = Math.max(1, this.#counts.get(word) ?? 1) / Math.max(1, this.#texts);
      return { word, count, weight: count * Math.log(count / texts.length / share) };
    });
    weighed.sort((a, b) => b.weight - a.weight || (a.word < b.word ? -1 : 1));
    const shared = weighed.filter(({ count, weight }) => count >= Math.max(2, SHARED * texts.length) && weight > 0);
    const chosen: string[] = [];
    for (const { word } of shared.length > 0 ? shared : weighed.slice(0, 1)) {
      if (chosen.some((other) => other.slice(0, STEM) === word.slice(0, STEM))) continue;
      chosen.push(word);
      if (chosen.length === WORDS) break;
    }
    return chosen.length === 0 ? null : chosen.join(", ");
  }
}
