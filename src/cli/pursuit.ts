/** The command line. */
import { run } from "./program.ts";
import { hideSecrets } from "../server/config.ts";

hideSecrets();
await run(process.argv.slice(2));
