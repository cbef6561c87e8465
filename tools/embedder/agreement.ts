/**
 * Compares pursuit's embeddings with those of sentence-transformers or transformers, text by text:
 *   npx tsx tools/embedder/agreement.ts MODEL_FOLDER SENTENCES.json ROWS.npy [COUNT]
 * SENTENCES is a list of texts, ROWS [n, d] their embeddings in the same order. Takes COUNT texts at equal steps.
 */
import { readFile } from "node:fs/promises";
import { openRowFile } from "../../src/bulk/row-file.ts";
import { openEmbedder } from "../../src/embedder/onnx-embedder.ts";

const [folder, sentences, rows, count = "1000"] = process.argv.slice(2);
if (folder === undefined || sentences === undefined || rows === undefined) {
  console.error("Give a model folder, a .json list of sentences, and a .npy file of their embeddings.");
  process.exit(1);
}
const texts = JSON.parse(await readFile(sentences, "utf8")) as readonly string[];
const embedder = await openEmbedder(folder);
const file = await openRowFile(rows, { width: (await embedder.embed("")).length });
const step = Math.max(1, Math.floor(texts.length / Number(count)));
let most = 0;
let done = 0;
const started = performance.now();
for (let at = 0; at < texts.length && done < Number(count); at += step, done++) {
  const embedded = await embedder.embed(texts[at]!);
  for await (const { data } of file.blocks(at, at + 1, 1))
    for (const [i, value] of data.entries()) most = Math.max(most, Math.abs(value - embedded[i]!));
}
const ms = (performance.now() - started) / done;
console.log(`${done} of ${texts.length} texts: max difference ${most.toExponential(2)}, ${ms.toFixed(1)} ms a text`);
await file.close();
await embedder.release();
