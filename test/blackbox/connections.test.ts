/** More clients than there are open files for: they crowd out one another, and nothing else. */
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Encoded, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { openSocket } from "../support/raw-http.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const FILES = 256;
const ENCODE = "/v1/dictionaries/small/encode";

describe("a server with few open files", () => {
  let server: RunningServer;
  beforeAll(async () => {
    const models = temporaryFolder();
    writeModelFolder(models, "small", { atoms: Float32Array.of(1, 0, 0, 1), d: 2 });
    const prefix = ["bash", "-c", `ulimit -n ${FILES}; exec "$@"`, "--"];
    server = await startServer(models, temporaryFolder(), {}, { prefix });
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });

  it.each([
    ["say nothing", ""],
    ["send a part of a head", `POST ${ENCODE} HTTP/1.1\r\nhost: x\r\n`],
    ["announce a body and send none", `POST ${ENCODE} HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n{`],
  ])("answers others while twice as many connections %s", async (_what, bytes) => {
    const sockets = [];
    for (let i = 0; i < 2 * FILES; i++) {
      const socket = await openSocket(server.port);
      socket.on("error", () => {}).write(bytes);
      sockets.push(socket);
    }
    const { codes } = await post<Encoded>(server.base, ENCODE, { inputs: [[3, 0]] });
    expect(codes[0]).toMatchObject({ indices: [0], values: [3] });
    const saved = await fetch(`${server.base}/v1/dictionaries/small/steering/calm`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: '{"edits": []}',
    });
    expect(saved.ok).toBe(true);
    expect(server.log()).not.toMatch(/EMFILE/);
    await Promise.all(
      sockets.map(async (socket) => {
        if (socket.destroyed) return;
        const closed = once(socket, "close");
        socket.destroy();
        await closed;
      }),
    );
  });
});
