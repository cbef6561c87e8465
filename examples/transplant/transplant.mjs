// Tokens carried from one model's embedding table to another's, against the truth and against mergekit's own function.
//
//   npx pursuit serve --models-dir examples/transplant/models
//   node examples/transplant/transplant.mjs                      # or with the server's address
//
// Two tables over 2,048 shared tokens are dictionaries: WordLlama's (256 wide) and all-MiniLM-L6-v2's (384 wide). 256
// more tokens, which both models have, are held out: their rows of the first table are posted to /v1/transfer, and what
// comes back is compared with their rows of the second.
import { readFileSync } from "node:fs";

const base = process.argv[2] ?? "http://127.0.0.1:8080";
const heldOut = readSafetensors(new URL("held-out.safetensors", import.meta.url));
const { held_out: tokens, mergekit } = JSON.parse(readFileSync(new URL("tokens.json", import.meta.url), "utf8"));

const truth = rowsOf(heldOut.to);
const [mean] = rowsOf(heldOut.mean);
const atoms = heldOut.mergekit_indices.shape[1];

const transfer = (max_atoms) =>
  post("/v1/transfer", { from: "wordllama-tokens", to: "minilm-tokens", inputs: rowsOf(heldOut.from), budget: { max_atoms } });
const answer = await transfer(atoms);

const methods = {
  "transfer, 8 atoms": (await transfer(8)).outputs,
  "transfer, 16 atoms": (await transfer(16)).outputs,
  [`transfer, ${atoms} atoms`]: answer.outputs,
  "mean of the anchors": truth.map(() => mean),
  "zero": truth.map(() => mean.map(() => 0)),
};
console.log(`${truth.length} held-out tokens          cosine to the truth        less the mean     ‖error‖ / ‖truth‖`);
for (const [name, outputs] of Object.entries(methods)) {
  const cosines = outputs.map((row, i) => cosine(row, truth[i]));
  const centred = outputs.map((row, i) => cosine(minus(row, mean), minus(truth[i], mean)));
  const errors = outputs.map((row, i) => norm(minus(row, truth[i])) / norm(truth[i]));
  console.log(`${name.padEnd(24)} ${interval(cosines).padStart(26)} ${interval(centred).padStart(20)} ${interval(errors).padStart(21)}`);
}

const order = answer.outputs.map((row, i) => [cosine(minus(row, mean), minus(truth[i], mean)), tokens[i]]).sort(([a], [b]) => b - a);
const show = (part) => part.map(([value, token]) => `${token} ${value.toFixed(2)}`).join(", ");
console.log(`\nbest:  ${show(order.slice(0, 5))}\nworst: ${show(order.slice(-5))}`);

// mergekit gives a row's coefficients in order of selection.
const indices = rowsOf(heldOut.mergekit_indices);
const coefficients = rowsOf(heldOut.mergekit_coefficients);
let [same, worst] = [0, 0];
for (const [i, code] of answer.from.codes.entries()) {
  const theirs = new Map(indices[i].map((j, k) => [j, coefficients[i][k]]));
  if (code.indices.length !== theirs.size || !code.indices.every((j) => theirs.has(j))) continue;
  same++;
  const largest = Math.max(...coefficients[i].map(Math.abs));
  for (const [k, j] of code.indices.entries()) worst = Math.max(worst, Math.abs(code.values[k] - theirs.get(j)) / largest);
}
console.log(`\nmergekit ${mergekit} batch_omp: the same ${atoms} tokens in ${same} of ${truth.length} rows,`);
console.log(`their coefficients apart by ${worst.toExponential(1)} of the row's largest at most.`);

/** Mean ± the half-width of its 95 % interval. */
function interval(values) {
  const average = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - average) ** 2, 0) / (values.length - 1);
  return `${average.toFixed(4)} ± ${(1.96 * Math.sqrt(variance / values.length)).toFixed(4)}`;
}

function cosine(a, b) {
  const lengths = norm(a) * norm(b);
  return lengths === 0 ? 0 : a.reduce((sum, value, i) => sum + value * b[i], 0) / lengths;
}

function norm(row) {
  return Math.hypot(...row);
}

function minus(a, b) {
  return a.map((value, i) => value - b[i]);
}

async function post(path, body) {
  const posted = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(base + path, posted).catch(() => {
    console.error(`No server answers at ${base}. Start one: npx pursuit serve --models-dir examples/transplant/models --port 8081`);
    console.error("and name it here: node examples/transplant/transplant.mjs http://127.0.0.1:8081");
    process.exit(1);
  });
  const said = await response.json();
  if (!response.ok) throw new Error(`${path} answers ${response.status}: ${said.detail}`);
  return said;
}

function rowsOf({ shape: [count, width], data }) {
  return Array.from({ length: count }, (_, i) => [...data.subarray(i * width, (i + 1) * width)]);
}

/** Float32 tensors of a safetensors file: eight bytes of length, a JSON head, the numbers. */
function readSafetensors(path) {
  const bytes = readFileSync(path);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const head = JSON.parse(bytes.subarray(8, start).toString());
  // An entry without offsets is the file's metadata.
  const entries = Object.entries(head).filter(([, { data_offsets: offsets }]) => offsets !== undefined);
  return Object.fromEntries(
    entries.map(([name, { shape, data_offsets: [from, to] }]) => {
      const copy = Uint8Array.from(bytes.subarray(start + from, start + to));
      return [name, { shape, data: new Float32Array(copy.buffer) }];
    }),
  );
}
