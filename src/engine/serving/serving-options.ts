import type { Clock } from "../core/clock.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { LoadedFacts, LoadOptions } from "../runtime/protocol/messages.ts";
import type { Background, CoreLease } from "../scheduler/core-lease.ts";
import type { MemoryLedger } from "../scheduler/memory-ledger.ts";
import type { WatchdogRule } from "./dictionary-executor.ts";
import type { LoadQueue } from "./load-queue.ts";
import type { PersonLabels } from "./state/person-labels.ts";

/** What every dictionary of one server is served with. */
export interface ServingOptions extends WatchdogRule {
  /** The file that a runtime process runs. */
  readonly executorEntry: URL;
  readonly load: Omit<LoadOptions, "folder" | "manifest">;
  readonly lease: CoreLease;
  /** Turns under that lease for what no request waits for. */
  readonly background: Background;
  /** Memory that dictionaries claim before they load. */
  readonly memory: MemoryLedger;
  /** Turns at loading. */
  readonly loads: LoadQueue;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly log: (level: "info" | "warn" | "error", message: string, details: Record<string, unknown>) => void;
  /** Called with each version that was loaded, before it is served; must not reject. */
  readonly onVersion?: (id: string, version: Pick<LoadedFacts, "sha256" | "fileSha256">) => Promise<void>;
  /** What people wrote of its features. */
  readonly ownLabels?: Pick<PersonLabels, "of">;
  /** Selections of one row at most, where the manifest sets no cap of its own. */
  readonly maxAtoms: number;
  readonly batchMs: number;
  /** Milliseconds of predicted waiting over which requests are refused. */
  readonly maxWaitMs: number;
  /** Rows waiting for one dictionary at most. */
  readonly maxQueueRows: number;
  /** Milliseconds of predicted waiting over which rows that allow it are shortened. */
  readonly degradeMs: number;
  /** Whether dictionaries are loaded at their first request. */
  readonly onDemand: boolean;
  /** Milliseconds that loading one dictionary may take. */
  readonly loadTimeoutMs: number;
}
