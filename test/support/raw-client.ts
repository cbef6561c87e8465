import { connect, type Socket } from "node:net";

export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  json(): Record<string, unknown>;
}

/** A client that writes bytes as it likes and reads HTTP/1.1 responses of known length: for what no real client sends. */
export class RawClient {
  readonly socket: Socket;
  /** Resolves when the connection is over, from either side and in whatever way. */
  readonly closed: Promise<void>;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    socket.on("error", () => {});
    const over = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("end", over);
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        over();
        resolve();
      });
    });
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      socket.once("connect", () => resolve(new RawClient(socket)));
      socket.once("error", reject);
    });
  }

  /** Resolves when the kernel has taken the bytes. */
  write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.write(data, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** The next response; rejects when the connection ends before it is whole. */
  async response(): Promise<RawResponse> {
    for (;;) {
      const response = this.#take();
      if (response !== null) return response;
      if (this.#ended) throw new Error(`the connection ended after ${JSON.stringify(this.#received.toString())}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #take(): RawResponse | null {
    const headEnd = this.#received.indexOf("\r\n\r\n");
    if (headEnd < 0) return null;
    const [first, ...lines] = this.#received.subarray(0, headEnd).toString("latin1").split("\r\n");
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const from = headEnd + 4;
    const to = from + Number(headers["content-length"] ?? 0);
    if (this.#received.length < to) return null;
    const body = this.#received.subarray(from, to).toString("utf8");
    this.#received = this.#received.subarray(to);
    return {
      status: Number(first!.split(" ")[1]),
      headers,
      body,
      json: () => JSON.parse(body) as Record<string, unknown>,
    };
  }
}

/** The text of a POST of JSON, its head as given. */
export function post(path: string, body: string, headers: Readonly<Record<string, string | number>> = {}): string {
  const all = { host: "test", "content-type": "application/json", "content-length": Buffer.byteLength(body), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}
