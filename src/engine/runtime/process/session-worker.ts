/** Session thread of a runtime process: loads one dictionary, then answers calls one after another. */
import { parentPort } from "node:worker_threads";
import { machineNow } from "../../core/clock.ts";
import {
  batchFromColumns,
  codesColumns,
  codesToDecodeFromColumns,
  indicesFromColumns,
  rowsFromColumns,
  steeredColumns,
  steerFromColumns,
} from "../protocol/columns.ts";
import type { Columns } from "../protocol/frame.ts";
import type { GramProgress, ReplyHead, RequestHead, Run } from "../protocol/messages.ts";
import { collectGarbage } from "./collect-garbage.ts";
import type { BatchSession, EncoderSession, Progress } from "./encoder-session.ts";
import { loadFailure, loadSession } from "./load-session.ts";

if (parentPort === null) throw new Error("session-worker runs as a worker thread of the executor");
const io = parentPort;
let session: BatchSession | EncoderSession | null = null;

function reply(head: ReplyHead, columns: Columns = {}): void {
  const buffers = new Set(Object.values(columns).map((column) => column.buffer as ArrayBuffer));
  io.postMessage({ head, columns }, [...buffers]);
}

async function answer(head: Exclude<RequestHead, { type: "load" | "close" }>, columns: Columns): Promise<void> {
  if (session === null) throw new Error("no dictionary is loaded");
  const start = machineNow();
  const { id, traceparent } = head;
  const ran = (): Run => ({ start, end: machineNow(), ...(traceparent !== undefined && { traceparent }) });
  switch (head.type) {
    case "encode": {
      const codes = await session.encode(batchFromColumns(head, columns));
      reply({ type: "result", id, run: ran(), count: codes.count, width: codes.width }, codesColumns(codes));
      return;
    }
    case "decode": {
      const rows = await whole(session).decode(codesToDecodeFromColumns(head.count, columns));
      reply({ type: "result", id, run: ran() }, { rows });
      return;
    }
    case "steer": {
      const steered = whole(session).steer(steerFromColumns(head.count, columns));
      reply({ type: "result", id, run: ran() }, steeredColumns(steered));
      return;
    }
    case "correlations": {
      const { count, most } = head;
      const largest = await whole(session).correlations({ rows: rowsFromColumns(columns), count, most });
      reply({ type: "result", id, run: ran() }, { ...largest });
      return;
    }
    case "atoms": {
      const rows = whole(session).atoms(indicesFromColumns(columns));
      reply({ type: "result", id, run: ran() }, { rows });
      return;
    }
    case "neighbours": {
      const neighbours = await whole(session).neighbours(head.index, head.count);
      reply({ type: "result", id, run: ran(), neighbours });
      return;
    }
    case "nearest": {
      const neighbours = whole(session).nearest(rowsFromColumns(columns), head.count);
      reply({ type: "result", id, run: ran(), neighbours });
      return;
    }
    case "norms": {
      const norms = whole(session).atomNorms();
      reply({ type: "result", id, run: ran() }, { norms });
      return;
    }
    case "gram_step": {
      const gram = await buildGramStep(session);
      reply({ type: "result", id, run: ran(), gram });
    }
  }
}

/** A pursuit over a decoder only encodes; the dictionary's own process answers the rest. */
function whole(loaded: BatchSession | EncoderSession): EncoderSession {
  if ("decode" in loaded) return loaded;
  throw new Error("this process only encodes");
}

async function handle(head: RequestHead, columns: Columns): Promise<void> {
  if (head.type === "load") {
    try {
      const loaded = await loadSession(head.options);
      session = loaded.session;
      reply({ type: "loaded", facts: loaded.facts });
      collectGarbage();
    } catch (error) {
      reply({ type: "load_failed", ...loadFailure(error) });
    }
  } else if (head.type === "close") {
    // Release it before the thread ends: ending a thread around a live session has aborted whole processes.
    await session?.release();
    io.close();
  } else {
    try {
      await answer(head, columns);
    } catch (error) {
      reply({ type: "error", id: head.id, message: error instanceof Error ? error.message : String(error) });
    }
  }
}

/** Builds a block of the Gram matrix; a session that cannot serves without it. */
async function buildGramStep(owner: BatchSession): Promise<GramProgress> {
  const { path } = owner.chosen;
  let progress: Progress = { more: false };
  try {
    progress = (await owner.buildGramStep?.()) ?? progress;
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    progress = { more: false, note: `It stays on the ${path} path: ${words}` };
  }
  return { ...progress, chosen: owner.chosen, coherence: owner.coherence };
}

// Handles one message at a time, in order: a session answers nothing while it runs, and close must come last.
let last: Promise<void> = Promise.resolve();
io.on("message", ({ head, columns }: { head: RequestHead; columns: Columns }) => {
  last = last.then(() => handle(head, columns));
});
