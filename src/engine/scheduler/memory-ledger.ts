import type { Clock } from "../core/clock.ts";

/**
 * What memory is counted by. `server`: the server process; `requests`: bodies in flight; `text`: labels and their index;
 * `runtime`: runtime processes with their weights; `gram`: Gram matrices.
 */
export const MEMORY_USES = ["server", "requests", "text", "runtime", "gram"] as const;
export type MemoryUse = (typeof MEMORY_USES)[number];

/** Bytes by use. */
export type MemoryNeeds = Readonly<Partial<Record<MemoryUse, number>>>;

/** Milliseconds for which a measurement counts as current. */
const FRESH = 1_000;

/** A claim that does not fit. All in bytes. */
export class MemoryRefused extends Error {
  override readonly name = "MemoryRefused";
  readonly needed: number;
  /** Left at the time, of what the limit allows for claims. */
  readonly free: number;
  /** What all claims together may have: the limit without the fixed uses. */
  readonly allowed: number;

  constructor(needed: number, free: number, allowed: number) {
    super(`${needed} bytes of memory are needed; ${free} of ${allowed} are free`);
    this.needed = needed;
    this.free = free;
    this.allowed = allowed;
  }
}

interface Waiting {
  readonly claim: MemoryClaim;
  readonly grant: () => void;
  readonly refuse: (refused: MemoryRefused) => void;
}

/**
 * The memory of one server against one limit. Work claims what it will need before it starts; what is measured replaces the
 * estimate; the claim is released at the end.
 *
 *     limit = fixed uses + claims granted + free
 *
 * A claim that does not fit waits while others are still estimates, which may shrink. Once all are measured it is refused,
 * as nothing frees memory by itself.
 */
export class MemoryLedger {
  readonly limit: number;
  readonly #clock: Clock;
  readonly #fixed: MemoryNeeds;
  readonly #claims = new Set<MemoryClaim>();
  readonly #waiting: Waiting[] = [];

  /** @param fixed uses that are there from start to end */
  constructor(limit: number, fixed: MemoryNeeds, clock: Clock) {
    this.limit = limit;
    this.#fixed = fixed;
    this.#clock = clock;
  }

  /** Bytes that claims may have in all. */
  get allowed(): number {
    return Math.max(0, this.limit - totalBytes(this.#fixed));
  }

  /** Bytes that no claim holds; negative where more is used than was foreseen. */
  get free(): number {
    let free = this.limit - totalBytes(this.#fixed);
    const now = this.#clock.now();
    for (const claim of this.#claims) free -= claim.bytesAt(now);
    return free;
  }

  /** Bytes held, by use. */
  get held(): Record<MemoryUse, number> {
    const held = { server: 0, requests: 0, text: 0, runtime: 0, gram: 0 };
    const now = this.#clock.now();
    for (const claim of this.#claims) claim.bytesAt(now);
    for (const needs of [this.#fixed, ...[...this.#claims].map(({ uses }) => uses)]) {
      for (const use of MEMORY_USES) held[use] += needs[use] ?? 0;
    }
    return held;
  }

  /** Bytes of one claim, by use; none once it is released. */
  holds(claim: MemoryClaim): MemoryNeeds {
    if (!this.#claims.has(claim)) return {};
    claim.bytesAt(this.#clock.now());
    return claim.uses;
  }

  /**
   * Resolves when the bytes are granted, in order of asking.
   * @throws MemoryRefused at once where they exceed what is allowed; else when no estimate is left that may shrink
   */
  claim(needs: MemoryNeeds): Promise<MemoryClaim> {
    const claim = new MemoryClaim(this, needs);
    return new Promise((resolve, reject) => {
      const grant = (): void => {
        this.#claims.add(claim);
        resolve(claim);
      };
      this.#waiting.push({ claim, grant, refuse: reject });
      this.settle();
    });
  }

  /** Whether these bytes fit beside all claims, those that wait included. */
  fits(bytes: number): boolean {
    const promised = this.#waiting.reduce((total, waiting) => total + totalBytes(waiting.claim.uses), 0);
    return bytes <= this.free - promised;
  }

  /** Takes a claim off the ledger. */
  release(claim: MemoryClaim): void {
    if (this.#claims.delete(claim)) this.settle();
  }

  /** Grants what fits by now, and refuses what never will. */
  settle(): void {
    const left = this.#waiting.splice(0);
    for (const waiting of left) {
      const needed = totalBytes(waiting.claim.uses);
      if (needed <= this.free) waiting.grant();
      else if (needed > this.allowed) waiting.refuse(new MemoryRefused(needed, this.free, this.allowed));
      else this.#waiting.push(waiting);
    }
    if ([...this.#claims].some(({ estimated }) => estimated)) return;
    for (const { claim, refuse } of this.#waiting.splice(0)) {
      refuse(new MemoryRefused(totalBytes(claim.uses), this.free, this.allowed));
    }
  }
}

/** Bytes held by one owner. Made by {@link MemoryLedger.claim}. */
export class MemoryClaim {
  readonly #ledger: MemoryLedger;
  readonly #uses: Partial<Record<MemoryUse, number>>;
  #measure: (() => number | null) | null = null;
  #measuredAt = -Infinity;
  #estimated = true;

  constructor(ledger: MemoryLedger, needs: MemoryNeeds) {
    this.#ledger = ledger;
    this.#uses = { ...needs };
  }

  get uses(): MemoryNeeds {
    return this.#uses;
  }

  /** Whether its `runtime` bytes are still an estimate. */
  get estimated(): boolean {
    return this.#estimated;
  }

  /** Adds a use where it fits beside everything else. @returns whether it did */
  grow(use: MemoryUse, bytes: number): boolean {
    if (!this.#ledger.fits(bytes)) return false;
    this.#uses[use] = (this.#uses[use] ?? 0) + bytes;
    return true;
  }

  /** Gives a use back. */
  drop(use: MemoryUse): void {
    delete this.#uses[use];
    this.#ledger.settle();
  }

  /**
   * The `runtime` bytes are no longer an estimate.
   * @param measure what they are now; null where the system does not say: the estimate stays
   */
  measured(measure: () => number | null): void {
    this.#estimated = false;
    this.#measure = measure;
    this.#measuredAt = -Infinity;
    this.#ledger.settle();
  }

  /** In all, measured anew where the last time was long ago. */
  bytesAt(now: number): number {
    if (this.#measure !== null && now - this.#measuredAt >= FRESH) {
      this.#measuredAt = now;
      this.#uses.runtime = this.#measure() ?? this.#uses.runtime ?? 0;
    }
    return totalBytes(this.#uses);
  }

  release(): void {
    this.#estimated = false;
    this.#ledger.release(this);
  }
}

/** Bytes of all uses. */
export const totalBytes = (needs: MemoryNeeds): number =>
  MEMORY_USES.reduce((total, use) => total + (needs[use] ?? 0), 0);
