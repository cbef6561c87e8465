#!/usr/bin/env node
// Checks the Node version before anything that an old Node cannot parse is loaded. This file itself must parse there:
// no static imports, no top-level await, no recent syntax.
const version = process.version.slice(1);
const parts = version.split(".").map(Number);
if (parts[0] < 20 || (parts[0] === 20 && parts[1] < 19)) {
  console.error(`pursuit needs Node 20.19 or later; this is Node ${version}. Install a newer one: https://nodejs.org`);
  process.exitCode = 1;
} else {
  import("./start.js").catch(function (error) {
    if (!error || error.code !== "EMFILE") throw error;
    console.error(
      "pursuit needs at least 256 open files to start, and this process may open fewer. Raise the limit: ulimit -n 65536",
    );
    process.exitCode = 1;
  });
}
