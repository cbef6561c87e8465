import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Answer, Drive, Load, Post } from "./drive.ts";

/** A load as it goes to another process: requests that follow each other on their connections, without what judges them. */
export interface LoadApart extends Pick<Load, "base" | "seconds"> {
  readonly posts: readonly (readonly Omit<Post, "judge">[])[];
}

/** What comes back from it. */
export interface DriveApart {
  readonly seen: Drive;
  readonly answers: readonly AnswerApart[];
}

export interface AnswerApart extends Answer {
  readonly connection: number;
  readonly request: number;
}

export interface ApartLoad {
  readonly start: () => Promise<Drive>;
  /** Ends its process. */
  readonly end: () => void;
}

/**
 * Readies a load in a process of its own, so that what its bodies cost the client is not taken for the server's delay of
 * others. Its answers are judged when it is over.
 */
export async function driveApart({ base, connections, posts, seconds }: Omit<Load, "arrivals">): Promise<ApartLoad> {
  const all = Array.from({ length: connections }, (_, connection) => posts(connection));
  const load: LoadApart = { base, seconds, posts: all.map((each) => each.map(({ judge: _judge, ...post }) => post)) };
  const child = fork(fileURLToPath(new URL("./drive-process.ts", import.meta.url)), {
    execArgv: ["--import", "tsx"],
    serialization: "advanced",
  });
  const answered = (): Promise<unknown> =>
    Promise.race([
      once(child, "message").then(([message]) => message as unknown),
      once(child, "exit").then(([code]) => Promise.reject(new Error(`the load's process ended (${String(code)})`))),
    ]);
  child.send(load);
  await answered();
  return {
    async start() {
      child.send("start");
      const { seen, answers } = (await answered()) as DriveApart;
      for (const { connection, request, ...answer } of answers) all[connection]![request]!.judge(answer);
      return seen;
    },
    end: () => void child.kill(),
  };
}
