import autocannon, { type Client, type Request } from "autocannon";
import type { Arrivals } from "./arrivals.ts";
import { type Connection, type SentBytes, shareBytes, takeOver } from "./autocannon-client.ts";
import { stagesOf, type Stages } from "./server-timing.ts";

/** A request to be sent, and what judges its answer. */
export interface Post {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly rows: number;
  /** Called once for every answer. */
  readonly judge: (answer: Answer) => void;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

export interface Load {
  readonly base: string;
  readonly connections: number;
  /** The requests of one connection, sent in turn. No two connections share a row order, so crossed answers show. */
  readonly posts: (connection: number) => readonly Post[];
  readonly seconds: number;
  /** When requests are due. Without: each connection sends as soon as it is answered. */
  readonly arrivals?: Arrivals;
}

/** What one drive saw. Milliseconds; latencies of answers with status 200 only, in the order of their arrival. */
export interface Drive {
  /** From the first request to the last one sent. */
  readonly seconds: number;
  readonly sent: number;
  /** Due, but no connection was free before the end. */
  readonly unsent: number;
  /** Sent and never answered. */
  readonly lost: number;
  readonly statuses: ReadonlyMap<number, number>;
  /** Of requests answered 200 within `seconds`. */
  readonly goodRequests: number;
  readonly goodRows: number;
  /** From when a request was due (with arrivals) or sent to its whole answer: free of coordinated omission. */
  readonly latencies: readonly number[];
  /** From when it was really sent. */
  readonly service: readonly number[];
  readonly refusals: readonly number[];
  readonly stages: readonly Stages[];
}

/** A request not answered by then after the end of a drive is lost. */
const DRAIN_MS = 30_000;
/** Connection errors after which a drive is given up. */
const TOO_MANY_ERRORS = 200;
const TICK_MS = 1;

interface Flight {
  readonly due: number;
  readonly sent: number;
}

/** Sends load with autocannon for so many seconds, then waits for what is under way. Nothing is left behind. */
export async function drive({ base, connections, posts, seconds, arrivals }: Load): Promise<Drive> {
  if (new URL(base).hostname !== "127.0.0.1") throw new Error(`load goes to 127.0.0.1 only, not to ${base}`);
  const idle: (() => void)[] = [];
  const flights = new Map<Connection, Flight>();
  const statuses = new Map<number, number>();
  const latencies: number[] = [];
  const service: number[] = [];
  const refusals: number[] = [];
  const stages: Stages[] = [];
  let goodRequests = 0;
  let goodRows = 0;
  let sent = 0;
  let lost = 0;
  let ended = false;
  // Set when every connection is ready: making hundreds of them, with bodies of their own, may take a second.
  let start = Infinity;
  let end = Infinity;
  let due = Infinity;
  const ready: Connection[] = [];
  const timers: NodeJS.Timeout[] = [];

  const fly = (connection: Connection, since: number): void => {
    sent++;
    flights.set(connection, { due: since, sent: performance.now() });
    connection.send();
  };

  const onIdle = (connection: Connection): void => {
    if (flights.delete(connection)) {
      lost++;
      connection.forget();
    }
    if (ended) return;
    if (start === Infinity) {
      if (ready.push(connection) === connections) setImmediate(begin);
      return;
    }
    if (!arrivals) return fly(connection, performance.now());
    idle.push(() => fly(connection, due));
    dispatch();
  };

  const begin = (): void => {
    start = performance.now();
    end = start + seconds * 1000;
    if (arrivals) due = start + arrivals.next().value;
    timers.push(
      setInterval(dispatch, TICK_MS),
      setTimeout(finish, seconds * 1000),
      setTimeout(() => instance.stop(), seconds * 1000 + DRAIN_MS),
    );
    for (const connection of ready) onIdle(connection);
  };

  const finish = (): void => {
    ended = true;
    if (flights.size === 0) instance.stop();
  };

  const dispatch = (): void => {
    if (!arrivals || ended) return;
    for (const now = performance.now(); due <= now && due < end && idle.length > 0; due = start + arrivals.next().value)
      idle.shift()!();
  };

  const onAnswer = (post: Post, connection: Connection, answer: Answer, timing: string | undefined): void => {
    const now = performance.now();
    const flight = flights.get(connection);
    if (!flight) throw new Error("an answer came to a connection that asked for nothing");
    flights.delete(connection);
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    if (answer.status === 200) {
      latencies.push(now - flight.due);
      service.push(now - flight.sent);
      if (timing !== undefined) stages.push(stagesOf(timing));
      if (now <= end) {
        goodRequests++;
        goodRows += post.rows;
      }
    } else refusals.push(now - flight.sent);
    post.judge(answer);
    if (ended && flights.size === 0) instance.stop();
  };

  const sentFor: SentBytes = new Map();
  let opened = 0;
  const setupClient = (client: Client): void => {
    let mine: Connection | null = null;
    const requests = posts(opened++).map((post): Request & { path: string } => ({
      method: "POST",
      path: post.path,
      headers: { ...post.headers },
      body: post.body,
      onResponse: (status, body, _context, headers = {}) =>
        onAnswer(
          post,
          mine!,
          { status, contentType: String(headers["content-type"]), body: Buffer.from(body, "latin1") },
          headers["server-timing"]?.toString(),
        ),
    }));
    takeOver(client, (connection) => {
      mine = connection;
      onIdle(connection);
    });
    client.setRequests(requests);
    shareBytes(requests, sentFor);
  };

  let settle: (error: Error | null) => void = () => {};
  const finished = new Promise<void>((resolve, reject) => {
    settle = (error) => (error ? reject(error) : resolve());
  });
  const instance = autocannon(
    {
      url: base,
      connections,
      setupClient,
      // Its own end would cut off what is under way: ours comes first.
      duration: seconds + (DRAIN_MS * 2) / 1000,
      timeout: (DRAIN_MS * 2) / 1000,
      bailout: TOO_MANY_ERRORS,
      sampleInt: 50,
    },
    (error: Error | null) => settle(error),
  );
  try {
    await finished;
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
  let unsent = 0;
  if (arrivals) for (; due < end; due = start + arrivals.next().value) unsent++;
  return {
    seconds,
    sent,
    unsent,
    lost: lost + flights.size,
    statuses,
    goodRequests,
    goodRows,
    latencies,
    service,
    refusals,
    stages,
  };
}
