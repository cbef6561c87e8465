import { drive } from "./drive.ts";
import type { AnswerApart, DriveApart, LoadApart } from "./drive-apart.ts";

/** Is sent a load, says that it has it, drives it when it is told to, and sends what it saw. */
process.once("message", (load: LoadApart) => {
  process.once("message", () => void run(load));
  process.send!("ready");
});

async function run({ base, seconds, posts }: LoadApart): Promise<void> {
  const answers: AnswerApart[] = [];
  const seen = await drive({
    base,
    seconds,
    connections: posts.length,
    posts: (connection) =>
      posts[connection]!.map((post, request) => ({
        ...post,
        judge: (answer) => void answers.push({ ...answer, connection, request }),
      })),
  });
  process.send!({ seen, answers } satisfies DriveApart);
}
