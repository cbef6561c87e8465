import type { Client, Request } from "autocannon";

const SEND = "_doRequest";

/**
 * What autocannon 9.0's client holds beside its documented face. Three things cannot be had from its options, so they are
 * put in its place here: an answer's bytes (it decodes every chunk as UTF-8, which a binary answer does not survive), when
 * a request is sent (its rates send a second's requests at once), and the bytes that are sent (each connection has its own).
 * test/load-tests/client/ fails when a newer autocannon no longer has them.
 */
interface Inside {
  [SEND]: () => void;
  readonly pipelinedRequests: {
    readonly peek: () => { body: string } | undefined;
    readonly clear: () => void;
    addBody: (chunk: Buffer) => void;
  };
}

export interface Connection {
  /** Sends the connection's next request now. */
  readonly send: () => void;
  /** Forgets a request whose connection was lost before it was answered. */
  readonly forget: () => void;
}

/**
 * Takes over one client, to be called from `setupClient`: bodies reach `onResponse` as latin1, a character a byte, and
 * `onIdle` is called, in place of sending, whenever the client would send its next request.
 */
export function takeOver(client: Client, onIdle: (connection: Connection) => void): void {
  const inside = client as unknown as Inside;
  const { pipelinedRequests } = inside;
  pipelinedRequests.addBody = (chunk) => {
    const answer = pipelinedRequests.peek();
    if (answer) answer.body += chunk.toString("latin1");
  };
  const connection = { send: inside[SEND].bind(client), forget: () => pipelinedRequests.clear() };
  inside[SEND] = () => onIdle(connection);
}

/** What is sent for a body, head and all. */
export type SentBytes = Map<Buffer, Buffer>;

/** A request as its client has made it ready. */
interface Ready {
  readonly body: Buffer;
  requestBuffer: Buffer;
}

/**
 * Has the clients of one load send the same bytes for the same body, to be called after `setRequests`. A thousand
 * connections with bytes of their own read 200 MB in turn, through the cache that the server on the same machine works in.
 */
export function shareBytes(requests: readonly Request[], sent: SentBytes): void {
  for (const request of requests as unknown as readonly Ready[]) {
    request.requestBuffer = sent.get(request.body) ?? request.requestBuffer;
    sent.set(request.body, request.requestBuffer);
  }
}
