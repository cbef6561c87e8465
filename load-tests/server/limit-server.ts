import { ChildScript } from "../child-script.ts";

export interface LimitServer {
  readonly base: string;
  readonly stop: () => Promise<void>;
}

/**
 * Starts what no server on Fastify can pass: one that reads a body and has the answer already, having asked the server at
 * `base` for it the first time.
 */
export async function startLimit(base: string): Promise<LimitServer> {
  const child = new ChildScript(new URL("./remembering-server.ts", import.meta.url), [base]);
  const port = (await child.said()) as number;
  return { base: `http://127.0.0.1:${port}`, stop: () => child.end() };
}
