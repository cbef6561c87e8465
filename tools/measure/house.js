/**
 * Prints the size of the code as a Markdown table: `node tools/measure/house.js [commit …]`. Without commits it measures the
 * working tree's last commit. Counts src/ without generated code.
 */
import { execFileSync } from "node:child_process";

const GENERATED = "src/engine/runtime/onnx/onnx_pb.ts";
const git = (...args) => execFileSync("git", args, { encoding: "utf8", maxBuffer: 1 << 28 });

/** Words of comments: block comments, and lines or ends of lines after `//`. */
function commentWords(text) {
  const comments = text.match(/\/\*[^]*?\*\/|(?<=^|\s)\/\/.*$/gm) ?? [];
  return comments
    .join(" ")
    .split(/\s+/)
    .filter((word) => /\w/.test(word)).length;
}

function measure(commit) {
  const paths = git("ls-tree", "-r", "--name-only", commit, "src").split("\n");
  const files = paths.filter((path) => path.endsWith(".ts") && path !== GENERATED);
  const texts = files.map((path) => git("show", `${commit}:${path}`));
  const lengths = texts.map((text) => text.split("\n").length - 1);
  const lines = lengths.reduce((a, b) => a + b, 0);
  const words = texts.reduce((sum, text) => sum + commentWords(text), 0);
  const count = (from, below) => lengths.filter((length) => length >= from && length < below).length;
  return {
    files: files.length,
    lines,
    "files under 20 lines": count(0, 20),
    "files of 20 to 79 lines": count(20, 80),
    "files of 80 to 300 lines": count(80, 301),
    "files over 300 lines": count(301, Infinity),
    "comment words per 100 lines": ((100 * words) / lines).toFixed(1),
  };
}

const commits = process.argv.length > 2 ? process.argv.slice(2) : ["HEAD"];
const columns = commits.map(measure);
console.log(`| | ${commits.join(" | ")} |\n|---|${"---|".repeat(commits.length)}`);
for (const name of Object.keys(columns[0]))
  console.log(`| ${name} | ${columns.map((column) => column[name]).join(" | ")} |`);
