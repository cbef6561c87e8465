import { connect, type Socket } from "node:net";

/** An answer read from a bare socket. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export const openSocket = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.once("error", reject);
  });

/** Reads one answer with content-length from a socket, or everything until the server closes it. */
export async function readAnswer(socket: Socket): Promise<RawAnswer> {
  let text = "";
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    text += chunk.toString("utf8");
    const answer = parse(text);
    if (answer) {
      socket.destroy();
      return answer;
    }
  }
  const answer = parse(text, true);
  if (!answer) throw new Error(`the server closed after ${JSON.stringify(text)}`);
  return answer;
}

function parse(text: string, ended = false): RawAnswer | null {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const [statusLine, ...lines] = text.slice(0, end).split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const body = text.slice(end + 4);
  if (!ended && Buffer.byteLength(body) < Number(headers["content-length"] ?? Infinity)) return null;
  return { status: Number(statusLine!.split(" ")[1]), headers, body };
}
