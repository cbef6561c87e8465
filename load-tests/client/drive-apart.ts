import { ChildScript } from "../child-script.ts";
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
  readonly end: () => Promise<void>;
}

/**
 * Readies a load in a process of its own, so that what its bodies cost the client is not taken for the server's delay of
 * others. Its answers are judged when it is over.
 */
export async function driveApart({ base, connections, posts, seconds }: Omit<Load, "arrivals">): Promise<ApartLoad> {
  const all = Array.from({ length: connections }, (_, connection) => posts(connection));
  const load: LoadApart = { base, seconds, posts: all.map((each) => each.map(({ judge: _judge, ...post }) => post)) };
  const child = new ChildScript(new URL("./drive-process.ts", import.meta.url));
  child.tell(load);
  await child.said();
  return {
    async start() {
      child.tell("start");
      const { seen, answers } = (await child.said()) as DriveApart;
      for (const { connection, request, ...answer } of answers) all[connection]![request]!.judge(answer);
      return seen;
    },
    end: () => child.end(),
  };
}
