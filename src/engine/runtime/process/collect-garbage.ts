import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Frees what nobody holds any more, now. After a load that is the weights' file as it was read, as large as the
 * dictionary; V8 itself would look for it when there is much to do next, which may be never.
 */
export function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  setFlagsFromString("--no-expose-gc");
  collect();
}
