import { WrittenOnce } from "./client/codecs.ts";
import { codesOf, type CodesSource } from "./client/codes-source.ts";
import { type Drive, drive, type Load, type Post } from "./client/drive.ts";
import { driveApart } from "./client/drive-apart.ts";
import { createJudge, type Tally } from "./client/judged-requests.ts";
import { MATCHING_PURSUIT, type Measured, type Outcome, type Scenario, type Traffic } from "./scenario.ts";
import { halves, keepTo } from "./server/cores.ts";
import { type LoadedServer, startLoaded } from "./server/loaded-server.ts";

/** Different requests of one connection, one dictionary. */
const REQUESTS = 4;
/** A request of so many rows is the only one of its connection: its bytes are held once a connection. */
const LARGE = 1024;
/** So that no figure holds the compiling of the first requests. */
const WARM_SECONDS = 1;

export interface RunOptions {
  readonly modelsDir: string;
  readonly seconds: number;
  readonly longSeconds: number;
  readonly quick: boolean;
  /** Told before each measurement. */
  readonly onMeasure: (title: string) => void;
}

export interface Finished {
  readonly outcome: Outcome;
  readonly tally: Tally;
  readonly sent: number;
  readonly lost: number;
}

/** A scenario from its server's start to its end. The server ends whatever happens. */
export async function runScenario(scenario: Scenario, options: RunOptions): Promise<Finished> {
  const cores = scenario.apart ? halves() : undefined;
  const setFree = cores ? keepTo(cores.clients) : () => {};
  try {
    return await runOn(await startLoaded(options.modelsDir, scenario.env ?? {}, cores?.server), scenario, options);
  } finally {
    setFree();
  }
}

/** Ends the server whatever happens. */
async function runOn(server: LoadedServer, scenario: Scenario, options: RunOptions): Promise<Finished> {
  const { modelsDir, seconds, longSeconds, quick, onMeasure } = options;
  const judge = createJudge();
  const source = codesOf(modelsDir, server.base);
  const totals = { sent: 0, lost: 0 };

  /** The codes that are expected are asked for here, before anything is measured. */
  const loadOf = async (traffic: Traffic): Promise<Load> => ({
    base: traffic.elsewhere?.base ?? server.base,
    connections: traffic.connections,
    posts: await postsOf(traffic, source, judge.posts),
    seconds: traffic.seconds,
    ...(traffic.arrivals && { arrivals: traffic.arrivals }),
  });

  const count = (seen: Drive): Drive => {
    totals.sent += seen.sent;
    totals.lost += seen.lost;
    return seen;
  };

  const measured = async (title: string, drives: readonly (() => Promise<Drive>)[]): Promise<Measured[]> => {
    onMeasure(title);
    const before = await server.usage();
    const cpu = process.cpuUsage();
    const all = await Promise.all(drives.map(async (run) => count(await run())));
    const { user, system } = process.cpuUsage(cpu);
    const after = await server.usage();
    judge.settle();
    return all.map((seen) => ({ ...seen, before, after, clientCpuSeconds: (user + system) / 1e6 }));
  };

  try {
    await warm(async (traffic) => count(await drive(await loadOf(traffic))));
    judge.settle();
    const outcome = await scenario.run({
      base: server.base,
      seconds,
      longSeconds,
      quick,
      measure: async (title, traffic) => {
        const load = await loadOf(traffic);
        return (await measured(title, [() => drive(load)]))[0]!;
      },
      measureBeside: async (title, traffic, other) => {
        const load = await loadOf(traffic);
        const apart = await driveApart(await loadOf(other));
        try {
          const [one, two] = await measured(title, [() => drive(load), apart.start]);
          return [one!, two!];
        } finally {
          await apart.end();
        }
      },
    });
    return { outcome, tally: judge.tally, ...totals };
  } finally {
    await server.stop();
  }
}

async function warm(load: (traffic: Traffic) => Promise<unknown>): Promise<void> {
  for (const codec of ["json", "octets"] as const)
    await load({ rows: 32, codec, budget: { max_atoms: 16 }, connections: 4, seconds: WARM_SECONDS });
}

/** A connection's requests: its dictionaries in turn. */
async function postsOf(
  { ids = [MATCHING_PURSUIT], rows, codec, budget, on_overload, onCode, elsewhere }: Traffic,
  source: CodesSource,
  posts: ReturnType<typeof createJudge>["posts"],
): Promise<(connection: number) => readonly Post[]> {
  const known = await Promise.all(ids.map((id) => source(id, budget)));
  const count = rows >= LARGE ? 1 : REQUESTS;
  const options = { budget, ...(on_overload && { on_overload }) };
  const kinds = known.map((one) => ({ ...one, rows, codec, options, written: new WrittenOnce() }));
  return (connection) => {
    const each = kinds.map((kind) => posts({ ...kind, connection, count, ...(onCode && { onCode }) }));
    const inTurn = (_: unknown, i: number): Post => each[i % each.length]![Math.floor(i / each.length)]!;
    const all = Array.from({ length: count * each.length }, inTurn);
    return elsewhere ? all.map((post) => ({ ...post, path: elsewhere.path })) : all;
  };
}
