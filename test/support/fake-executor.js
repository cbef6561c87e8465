/**
 * A runtime process without ONNX Runtime, for tests of the server's side: it speaks the framed protocol and misbehaves
 * on demand. Each encoded row answers one atom: index 0 with the row's first value. The folder it is told to load names
 * its behaviour: "ok", "broken" (the dictionary is at fault), "mute" (never loads), "exits" (ends while it loads),
 * "short" (the machine has no room for it now), "changing" (as "ok", of other weights at every start), "starved" (the system
 * kills it while it loads), "greedy" (the same, if it may hold a Gram matrix), "greedy-build" (the same, but at the first piece
 * of that matrix), "wide" (as "greedy", but an allocation fails).
 * It is JavaScript over built code: dozens of them start, and compiling TypeScript would take most of the time.
 * A first value of 666 kills the process, 555 makes it hang, 444 makes it answer with an error.
 */
import { Socket } from "node:net";
import { basename } from "node:path";
import { machineNow } from "#dist/engine/core/clock.js";
import { steerRows } from "#dist/engine/runtime/sessions/steer-rows.js";
import {
  batchFromColumns,
  codesColumns,
  codesToDecodeFromColumns,
  steeredColumns,
  steerFromColumns,
} from "#dist/engine/runtime/protocol/columns.js";
import { frameChunks, FrameReader } from "#dist/engine/runtime/protocol/frame.js";

const server = new Socket({ fd: 3, readable: true, writable: true });

function reply(head, columns = {}) {
  for (const chunk of frameChunks(head, columns)) server.write(chunk);
}

const LOADS = new Set(["ok", "changing", "greedy", "greedy-build", "wide"]);

const coherence = { maxCosine: null, minNorm: 1, maxNorm: 1 };
let chosen = { runtime: "cpu", path: "residual" };
let behaviour = "";

/** As the system does where memory has run out. */
const kill = () => void process.kill(process.pid, "SIGKILL");

function load({ folder, gramLimit }) {
  behaviour = basename(folder);
  if (gramLimit > 0) chosen = { runtime: "cpu", path: "fused_residual" };
  if (behaviour === "exits") process.exit(7);
  if (behaviour === "starved" || (behaviour === "greedy" && gramLimit > 0)) return kill();
  if (behaviour === "wide" && gramLimit > 0)
    return reply({
      type: "load_failed",
      faults: ["WebAssembly.Memory(): could not allocate memory"],
      cause: "memory",
    });
  if (behaviour === "broken")
    reply({ type: "load_failed", faults: ["atoms: 3 of them are zero.", "center is missing."], cause: "broken" });
  if (behaviour === "short") reply({ type: "load_failed", faults: ["no memory is free."], cause: "shortage" });
  if (!LOADS.has(behaviour)) return;
  reply({
    type: "loaded",
    facts: {
      chosen,
      coherence,
      sha256: (behaviour === "changing" ? `${process.pid}` : "").padStart(64, "0"),
      fileSha256: "f".repeat(64),
      warnings: [],
      notes: [],
      warmUp: { steps: 8, milliseconds: 1 },
    },
  });
}

/** A run of a millisecond. */
const ran = ({ traceparent }) => {
  const end = machineNow();
  return { start: end - 1, end, ...(traceparent !== undefined && { traceparent }) };
};

function encode(head, columns) {
  const { rows, count } = batchFromColumns(head, columns);
  const d = rows.length / count;
  const values = Float32Array.from({ length: count }, (_, row) => rows[row * d]);
  if (values.includes(666)) kill();
  if (values.includes(555)) return;
  if (values.includes(444)) return reply({ type: "error", id: head.id, message: "no memory for this batch" });
  const codes = {
    count,
    width: 4,
    indptr: Uint32Array.from({ length: count + 1 }, (_, row) => row),
    indices: new Uint32Array(count),
    values,
    steps: new Uint32Array(count).fill(1),
    stops: new Uint8Array(count),
    residualNorms: new Float32Array(count),
    relativeErrors: new Float32Array(count),
  };
  reply({ type: "result", id: head.id, run: ran(head), count, width: 4 }, codesColumns(codes));
}

/** By the same two atoms as {@link steer}. */
function decode(head, columns) {
  const { count, indptr, indices, values } = codesToDecodeFromColumns(head.count, columns);
  const rows = new Float32Array(count * 2);
  for (let i = 0; i < count; i++) {
    for (let at = indptr[i]; at < indptr[i + 1]; at++) rows[i * 2 + indices[at]] += values[at];
  }
  reply({ type: "result", id: head.id, run: ran(head) }, { rows });
}

/** By two atoms, the unit vectors of rows of two numbers. */
function steer(head, columns) {
  const steered = steerRows(steerFromColumns(head.count, columns), {
    atoms: Float32Array.of(1, 0, 0, 1),
    center: null,
    d: 2,
    m: 2,
  });
  reply({ type: "result", id: head.id, run: ran(head) }, steeredColumns(steered));
}

/** A Gram matrix takes one piece. */
function buildGramStep({ id }) {
  if (chosen.path === "fused_residual") {
    if (behaviour === "greedy-build") return kill();
    chosen = { runtime: "cpu", path: "fused" };
  }
  reply({ type: "result", id, run: ran({}), gram: { chosen, coherence, more: false } });
}

const reader = new FrameReader(({ head: request, columns }) => {
  if (request.type === "load") load(request.options);
  else if (request.type === "encode") encode(request, columns);
  else if (request.type === "decode") decode(request, columns);
  else if (request.type === "steer") steer(request, columns);
  else if (request.type === "gram_step") buildGramStep(request);
  else if (request.type === "close") server.end(() => process.exit(0));
});
server.on("data", (chunk) => reader.push(chunk));
server.on("close", () => process.exit(0));
