import { type Clock, overdueAfter } from "../core/clock.ts";

/** What a holder has before it, in milliseconds of its lease: asked when somebody else's wait is predicted. */
export interface Backlog {
  /** What is left of the run that holds cores now; 0 when none does. */
  readonly running: () => number;
  /** All of it, what runs included. */
  readonly total: () => number;
}

/** One turn at the cores, as its user sees it. */
export interface Turn {
  /**
   * From now on the turn should take so many milliseconds. Long after that it loses its cores to the others, though what
   * it runs goes on: a hung process must not stop other dictionaries.
   */
  readonly expect: (milliseconds: number) => void;
}

interface Granted extends Turn {
  readonly end: () => void;
}

interface Wish {
  /** In order of coming. */
  readonly number: number;
  readonly grant: () => void;
}

/**
 * The machine's cores. A batch runs only under a lease, so that runtimes of several dictionaries take turns instead of
 * sharing cores: three two-thread runtimes spinning on 2 cores gave half the rows of three that took turns, at 15 times
 * the p99.
 *
 * Turns are fair by time, not by number: cores go to the holder that has used the least of them (start-time fair
 * queueing, Goyal et al. 1996). One that was idle starts level with the others; one that goes on is waited for between
 * its runs, since it could not wish again while it ran.
 *
 * A turn has a time of its own. Once it is overdue its cores go to the others, and it shares them until it ends.
 */
export class CoreLease {
  readonly total: number;
  readonly #clock: Clock;
  #free: number;
  /** What the holder served last had used before. */
  #level = 0;
  #wishes = 0;
  readonly #holders = new Set<LeaseHolder>();

  constructor(total: number, clock: Clock) {
    this.total = total;
    this.#free = total;
    this.#clock = clock;
  }

  /** Whether anybody holds cores. */
  get busy(): boolean {
    return this.#free < this.total;
  }

  /**
   * A holder that takes turns with the others: one per dictionary and kind of work.
   * @param share of the time that another has where both want all of it: less than 1 for what nobody waits for
   */
  join(backlog: Backlog, cores: number, share = 1): LeaseHolder {
    const holder = new LeaseHolder(this, backlog, Math.min(cores, this.total), share);
    this.#holders.add(holder);
    return holder;
  }

  /** It is gone and waits for nothing any more. */
  leave(holder: LeaseHolder): void {
    this.#holders.delete(holder);
    this.#grant();
  }

  /**
   * Predicted milliseconds until a holder has had `own` milliseconds of its lease, if the others with work keep to
   * their turns: each takes its share of as much as it, and no more than it has.
   */
  delay(holder: LeaseHolder, own: number): number {
    let others = 0;
    for (const other of this.#holders) {
      if (other === holder || other.overdue > 0) continue;
      const { running, total } = other.backlog;
      others += (Math.min(total(), Math.max(own * other.share, running())) * other.cores) / this.total;
    }
    return own + others;
  }

  /** Whether anybody else waits for a turn, or is about to. */
  contended(holder: LeaseHolder): boolean {
    for (const other of this.#holders) {
      if (other !== holder && (other.waiting.length > 0 || other.goesOn)) return true;
    }
    return false;
  }

  /**
   * Waits for a turn of this holder.
   * @param expected milliseconds that it should take
   */
  async take(holder: LeaseHolder, expected: number): Promise<Granted> {
    const { cores } = holder;
    if (holder.waiting.length === 0 && !holder.goesOn) holder.used = Math.max(holder.used, this.#level);
    holder.goesOn = false;
    await new Promise<void>((grant) => {
      holder.waiting.push({ number: this.#wishes++, grant });
      this.#grant();
    });
    const started = this.#clock.now();
    let revoked = false;
    let stopWatch = (): void => {};
    const expect = (milliseconds: number): void => {
      stopWatch();
      if (!revoked) stopWatch = this.#clock.after(overdueAfter(milliseconds), revoke);
    };
    const revoke = (): void => {
      revoked = true;
      holder.overdue++;
      this.#free += cores;
      this.#grant();
    };
    const end = (): void => {
      stopWatch();
      holder.used += ((this.#clock.now() - started) * cores) / holder.share;
      holder.goesOn = holder.wishesAgain();
      if (revoked) holder.overdue--;
      else this.#free += cores;
      this.#grant();
    };
    expect(expected);
    return { expect, end };
  }

  /** It does not wish again after all. */
  pass(holder: LeaseHolder): void {
    if (!holder.goesOn) return;
    holder.goesOn = false;
    this.#grant();
  }

  /** Strictly in order of use: a wide wish whose turn it is waits for its cores, and narrow ones do not overtake it. */
  #grant(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [wish] = next.waiting;
      if (wish === undefined || next.cores > this.#free) return;
      next.waiting.shift();
      this.#level = Math.max(this.#level, next.used);
      this.#free -= next.cores;
      wish.grant();
    }
  }

  /** Of those that wait or are about to, the one that has used least; of equals the one that came first. */
  #next(): LeaseHolder | undefined {
    let least: LeaseHolder | undefined;
    for (const holder of this.#holders) {
      if (holder.waiting.length === 0 && !holder.goesOn) continue;
      const before = least === undefined ? -1 : holder.used - least.used || cameFirst(holder) - cameFirst(least);
      if (before < 0) least = holder;
    }
    return least;
  }
}

/** One about to wish again came before everybody who waits: its run was granted before their wish. */
const cameFirst = ({ waiting }: LeaseHolder): number => waiting[0]?.number ?? -1;

/** One that takes turns at the cores. */
export class LeaseHolder {
  readonly #lease: CoreLease;
  readonly backlog: Backlog;
  readonly cores: number;
  readonly share: number;
  /** Core-milliseconds used over its share, or what counts as such since it was idle. */
  used = 0;
  /** First come, first served among its own. */
  readonly waiting: Wish[] = [];
  /** Its run has ended and it is about to wish for the next. */
  goesOn = false;
  /** Turns that have lost their cores and have not ended. */
  overdue = 0;
  /** Whether it will wish again at once when its run ends; then it must, or {@link pass}. */
  wishesAgain: () => boolean = () => false;

  constructor(lease: CoreLease, backlog: Backlog, cores: number, share: number) {
    this.#lease = lease;
    this.backlog = backlog;
    this.cores = cores;
    this.share = share;
  }

  /**
   * Runs `use` while holding its cores, waiting for them first.
   * @param expected milliseconds that it should take; 0: hardly any
   */
  async hold<T>(use: (turn: Turn) => Promise<T>, expected = 0): Promise<T> {
    const turn = await this.#lease.take(this, expected);
    try {
      return await use(turn);
    } finally {
      turn.end();
    }
  }

  /**
   * The same for what uses something that may restart or hang: no cores are held meanwhile.
   * @param ready as of the scheduler's Executor
   */
  async holdWhenReady<T>(ready: () => Promise<void> | null, use: () => Promise<T>, expected = 0): Promise<T> {
    for (;;) {
      for (let restarted = ready(); restarted !== null; restarted = ready()) await restarted;
      // Between the wish for cores and the grant it may have ended.
      const used = await this.hold(async () => (ready() === null ? { value: await use() } : null), expected);
      if (used !== null) return used.value;
    }
  }

  /** Whether somebody else waits for the cores: then a turn should not be drawn out. */
  get contended(): boolean {
    return this.#lease.contended(this);
  }

  delay(own: number): number {
    return this.#lease.delay(this, own);
  }

  pass(): void {
    this.#lease.pass(this);
  }

  leave(): void {
    this.#lease.leave(this);
  }
}

/** Of the cores' time that requests of one dictionary have where they want all of it. */
const SHARE = 1 / 4;

/** What a turn is taken to need before one has been seen, in milliseconds. */
const FIRST_GUESS = 10;

/**
 * Turns at the cores for what nobody waits for, one after another for all dictionaries together: where requests want all of
 * the time it has a fifth of it, however many dictionaries are at work at themselves.
 */
export class Background {
  readonly #clock: Clock;
  readonly #holder: LeaseHolder;
  /** When the turn under way began; null where none is. */
  #began: number | null = null;
  /** Milliseconds that the last one took. */
  #each = FIRST_GUESS;

  /** @param cores that a turn occupies */
  constructor(lease: CoreLease, cores: number, clock: Clock) {
    this.#clock = clock;
    const running = (): number => (this.#began === null ? 0 : Math.max(0, this.#began + this.#each - clock.now()));
    // How many turns are to come nobody knows: as many as its share allows.
    const total = (): number => (this.#holder.waiting.length > 0 || this.#began !== null ? Infinity : 0);
    this.#holder = lease.join({ running, total }, cores, SHARE);
  }

  /**
   * Runs `use` when its turn has come, with the milliseconds that it should take.
   * @param ready as of the scheduler's Executor: there is no turn while what is used restarts or hangs
   */
  turn<T>(ready: () => Promise<void> | null, use: (expected: number) => Promise<T>): Promise<T> {
    const expected = this.#each;
    return this.#holder.holdWhenReady(ready, () => this.#timed(() => use(expected)), expected);
  }

  async #timed<T>(use: () => Promise<T>): Promise<T> {
    const began = (this.#began = this.#clock.now());
    try {
      return await use();
    } finally {
      this.#each = this.#clock.now() - began;
      this.#began = null;
    }
  }
}
