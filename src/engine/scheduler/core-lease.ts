import { type Clock, overdueAfter } from "../core/clock.ts";

/** Queued work of a client, in milliseconds of its lease. Read to predict the waits of others. */
export interface Backlog {
  /** Time left of the run that holds cores now; 0 without one. */
  readonly running: () => number;
  /** All of it, the running part included. */
  readonly total: () => number;
}

/** One turn at the cores, as its user sees it. */
export interface Turn {
  /**
   * Sets the time that the turn should take from now on. Long after it the turn loses its cores to the others, although
   * its run goes on: a hung process must not stop other dictionaries.
   */
  readonly expect: (milliseconds: number) => void;
}

interface Granted extends Turn {
  readonly end: () => void;
}

interface Waiter {
  /** Order of arrival. */
  readonly number: number;
  readonly grant: () => void;
}

/** Work that holds cores: requests, or what no request waits for. */
export type CoreWork = "requests" | "background";

/** Adds up core-milliseconds of cores that come and go. */
class BusyTime {
  #cores = 0;
  #total = 0;
  #since = 0;

  hold(cores: number, now: number): void {
    this.#total = this.at(now);
    this.#since = now;
    this.#cores += cores;
  }

  at(now: number): number {
    return this.#total + this.#cores * (now - this.#since);
  }
}

/**
 * The machine's cores. A batch runs only under a lease, so that the runtimes of several dictionaries take turns: three
 * two-thread runtimes spinning on 2 cores gave half the rows of three that took turns, at 15 times the p99.
 *
 * Turns are fair by time: cores go to the client that has used least of them (start-time fair queueing, Goyal et al.
 * 1996). A client that was idle starts level with the others. A client about to requeue keeps its place, because it
 * could not queue while it ran.
 *
 * An overdue turn loses its cores to the others, and shares them until it ends.
 */
export class CoreLease {
  readonly total: number;
  readonly #clock: Clock;
  readonly #busy = { requests: new BusyTime(), background: new BusyTime() };
  #free: number;
  /** Use of the client served last, before its turn. */
  #level = 0;
  #arrivals = 0;
  readonly #holders = new Set<CoreClient>();

  constructor(total: number, clock: Clock) {
    this.total = total;
    this.#free = total;
    this.#clock = clock;
  }

  /** Core-milliseconds that turns have held so far, of requests and of background work. */
  get busyTime(): Readonly<Record<CoreWork, number>> {
    const now = this.#clock.now();
    return { requests: this.#busy.requests.at(now), background: this.#busy.background.at(now) };
  }

  /** Whether requests hold cores. Background work does not count: it gives way. */
  get busy(): boolean {
    for (const { share, turns } of this.#holders) if (share === 1 && turns > 0) return true;
    return false;
  }

  /**
   * Adds a client: one per dictionary and kind of work.
   * @param share of the time that another client gets when both want all of it; below 1 for background work
   */
  join(backlog: Backlog, cores: number, share = 1): CoreClient {
    const holder = new CoreClient(this, backlog, Math.min(cores, this.total), share);
    this.#holders.add(holder);
    return holder;
  }

  /** Removes a client. It must not wait for a turn. */
  leave(holder: CoreClient): void {
    this.#holders.delete(holder);
    this.#grant();
  }

  /**
   * Predicts the milliseconds until a client has had `own` milliseconds of its lease. Assumes that each other client
   * takes its share of as much, at most its own backlog.
   */
  delay(holder: CoreClient, own: number): number {
    let others = 0;
    for (const other of this.#holders) {
      if (other === holder || other.overdue > 0) continue;
      const { running, total } = other.backlog;
      others += (Math.min(total(), Math.max(own * other.share, running())) * other.cores) / this.total;
    }
    return own + others;
  }

  /** Whether another client waits for a turn or is about to requeue. */
  contended(holder: CoreClient): boolean {
    for (const other of this.#holders) {
      if (other !== holder && (other.waiting.length > 0 || other.keepsPlace)) return true;
    }
    return false;
  }

  /**
   * Waits for a turn of this client.
   * @param expected milliseconds of the turn
   */
  async take(holder: CoreClient, expected: number): Promise<Granted> {
    const { cores } = holder;
    if (holder.waiting.length === 0 && !holder.keepsPlace) holder.used = Math.max(holder.used, this.#level);
    holder.keepsPlace = false;
    await new Promise<void>((grant) => {
      holder.waiting.push({ number: this.#arrivals++, grant });
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
      holder.turns--;
      this.#move(holder, cores);
      this.#grant();
    };
    const end = (): void => {
      stopWatch();
      holder.used += ((this.#clock.now() - started) * cores) / holder.share;
      holder.keepsPlace = holder.mayRequeue();
      if (revoked) holder.overdue--;
      else {
        holder.turns--;
        this.#move(holder, cores);
      }
      this.#grant();
    };
    expect(expected);
    return { expect, end };
  }

  /** Gives up the kept place. */
  release(holder: CoreClient): void {
    if (!holder.keepsPlace) return;
    holder.keepsPlace = false;
    this.#grant();
  }

  /** Frees cores of a client (positive), or gives it some (negative). */
  #move({ share }: CoreClient, cores: number): void {
    this.#free += cores;
    this.#busy[share === 1 ? "requests" : "background"].hold(-cores, this.#clock.now());
  }

  /**
   * Strictly in order of use: a client that needs many cores waits for them, and clients that need few do not overtake
   * it.
   */
  #grant(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [waiter] = next.waiting;
      if (waiter === undefined || next.cores > this.#free) return;
      next.waiting.shift();
      this.#level = Math.max(this.#level, next.used);
      this.#move(next, -next.cores);
      next.turns++;
      waiter.grant();
    }
  }

  /** The waiting or requeueing client that has used least; of equals the one that came first. */
  #next(): CoreClient | undefined {
    let least: CoreClient | undefined;
    for (const holder of this.#holders) {
      if (holder.waiting.length === 0 && !holder.keepsPlace) continue;
      const before = least === undefined ? -1 : holder.used - least.used || arrivalOf(holder) - arrivalOf(least);
      if (before < 0) least = holder;
    }
    return least;
  }
}

/** A client about to requeue keeps its place. */
const arrivalOf = ({ waiting }: CoreClient): number => waiting[0]?.number ?? -1;

/** A client of the core lease. */
export class CoreClient {
  readonly #lease: CoreLease;
  readonly backlog: Backlog;
  readonly cores: number;
  readonly share: number;
  /** Core-milliseconds used over its share; raised to the level of the others after idling. */
  used = 0;
  /** First come, first served within one client. */
  readonly waiting: Waiter[] = [];
  /** Its run has ended and it is about to requeue. */
  keepsPlace = false;
  /** Turns that have their cores. */
  turns = 0;
  /** Turns that lost their cores and have not ended. */
  overdue = 0;
  /** Whether it requeues at once when a run ends. It must then queue, or {@link release} its place. */
  mayRequeue: () => boolean = () => false;

  constructor(lease: CoreLease, backlog: Backlog, cores: number, share: number) {
    this.#lease = lease;
    this.backlog = backlog;
    this.cores = cores;
    this.share = share;
  }

  /**
   * Waits for the cores and runs `use` with them.
   * @param expected milliseconds of the turn; 0: hardly any
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
   * Like `hold`, for something that may restart or hang: it holds no cores meanwhile.
   * @param ready as in the scheduler's Executor
   */
  async holdWhenReady<T>(ready: () => Promise<void> | null, use: () => Promise<T>, expected = 0): Promise<T> {
    for (;;) {
      for (let restarted = ready(); restarted !== null; restarted = ready()) await restarted;
      // It may have ended while waiting for the cores.
      const used = await this.hold(async () => (ready() === null ? { value: await use() } : null), expected);
      if (used !== null) return used.value;
    }
  }

  /** Whether another client waits for the cores: a turn should then not be extended. */
  get contended(): boolean {
    return this.#lease.contended(this);
  }

  delay(own: number): number {
    return this.#lease.delay(this, own);
  }

  release(): void {
    this.#lease.release(this);
  }

  leave(): void {
    this.#lease.leave(this);
  }
}

/** Of the core time that one dictionary's requests get when they want all of it. */
const SHARE = 1 / 4;

/** Assumed milliseconds of a turn before the first one was measured. */
const FIRST_GUESS = 10;

/**
 * Low-priority lease for background work, one task after another for all dictionaries. At full load it gets at most 1/5
 * of core time in total.
 */
export class Background {
  readonly #clock: Clock;
  readonly #holder: CoreClient;
  /** Start of the current turn; null without one. */
  #began: number | null = null;
  /** Milliseconds of the last turn. */
  #each = FIRST_GUESS;

  /** @param cores per turn */
  constructor(lease: CoreLease, cores: number, clock: Clock) {
    this.#clock = clock;
    const running = (): number => (this.#began === null ? 0 : Math.max(0, this.#began + this.#each - clock.now()));
    // The number of turns to come is unknown: as many as its share allows.
    const total = (): number => (this.#holder.waiting.length > 0 || this.#began !== null ? Infinity : 0);
    this.#holder = lease.join({ running, total }, cores, SHARE);
  }

  /**
   * Runs `use` when its turn comes, and passes it the milliseconds that it should take.
   * @param ready as in the scheduler's Executor: no turn starts during a restart or hang
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
