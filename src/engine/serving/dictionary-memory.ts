import { Fault } from "../core/errors.ts";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { DictionaryManifest, RuntimeChoice } from "../core/dictionary.ts";
import { FEATURES_FILE } from "../dictionaries/features-file.ts";
import { LABELS_FILE } from "../dictionaries/labels.ts";
import { bytesInMemory } from "../dictionaries/weights.ts";
import { specOf } from "../encoders/registry.ts";
import type { LoadOptions } from "../runtime/protocol/messages.ts";
import { residentBytes } from "../runtime/supervisor/launch.ts";
import type { RuntimeProcess } from "../runtime/supervisor/runtime-process.ts";
import { type MemoryClaim, type MemoryLedger, type MemoryNeeds, MemoryRefused } from "../scheduler/memory-ledger.ts";

const MiB = 2 ** 20;

/** A runtime process without weights: measured 35 to 50 MiB. */
const PROCESS_BYTES = 64 * MiB;

/** Copies of the weights as float32 at the peak of a load: measured 4.0 to 4.4 of a pursuit's. */
const WEIGHT_COPIES = 4.5;

/** Those of a one-pass encoder's encoder and decoder: measured 2.2; the runtime copies weights that are in memory. */
const ONE_PASS_COPIES = 2.4;

/** The same where the encoder reaches the runtime in files: measured 1.08. */
const MAPPED_COPIES = 1.3;

/** Bytes of an encoder beyond which it does (docs/decisions/0004). */
const MAPPED = 2 ** 30;

/** What a session needs beside its Gram matrix to make and use it: measured 10 MiB at 32 atoms, 45 at 8,192. */
const gramExtra = (m: number): number => Math.min(32 * MiB, 4_096 * m) + 12 * MiB;

/** Labels and their index, for each byte of labels.json: measured 8 to 12. */
const TEXT_FACTOR = 12;

/** Labels and figures of features.db, for each byte of the file: the rest of it stays on the disk. */
const FEATURES_SHARE = 0.5;

/** Room for batches beyond what a process holds when it is measured: scores of 256 rows, 64 MiB at most, and the rest. */
const workingBytes = (m: number): number => Math.min(64 * MiB, 4 * 256 * m) + 8 * MiB;

/** Floats of a Gram row are rounded up to whole blocks of the kernel. */
const BLOCK = 64;

/** Bytes of a Gram matrix of m atoms, with what it takes to use it. */
export const gramBytes = (m: number): number => 4 * m * BLOCK * Math.ceil(m / BLOCK) + gramExtra(m);

/** Bytes that a load takes, from the manifest and the size of its labels. */
export async function memoryNeeds(folder: string, manifest: DictionaryManifest): Promise<MemoryNeeds> {
  const sizeOf = (name: string): Promise<number> =>
    stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    );
  const text = TEXT_FACTOR * (await sizeOf(LABELS_FILE)) + FEATURES_SHARE * (await sizeOf(FEATURES_FILE));
  const copies = copiesOf(manifest);
  return { runtime: PROCESS_BYTES + Math.ceil(copies * bytesInMemory(manifest)), text };
}

/** Copies of the weights at the peak of a load. */
function copiesOf(manifest: DictionaryManifest): number {
  const { m, dIn, encoder, blocks } = manifest;
  // Decoders of blocks are joined in a copy.
  if (specOf(manifest).family === "pursuit" || blocks !== undefined) return WEIGHT_COPIES;
  // Such a dictionary's atoms are divided by their norms, in a copy.
  const scaled = (encoder as { readonly scaleByDecoderNorm?: unknown }).scaleByDecoderNorm === true;
  return 4 * m * dIn > MAPPED && !scaled ? MAPPED_COPIES : ONE_PASS_COPIES;
}

/** Copies of an encoder's weights, which a pursuit over the decoder reads and frees again. */
const PASSING_COPIES = 1.5;

/** Bytes that a process for pursuit over the decoder takes, without its Gram matrix. */
export function pursuitNeeds(manifest: DictionaryManifest): MemoryNeeds {
  const atoms = 4 * manifest.m * manifest.dOut;
  const passing = bytesInMemory(manifest) - atoms;
  return { runtime: PROCESS_BYTES + Math.ceil(WEIGHT_COPIES * atoms + PASSING_COPIES * passing) };
}

/** How messages name what needs the memory, and what to do once there is more. */
interface MemoryWords {
  readonly subject: string;
  readonly again: string;
}

type GramOptions = Pick<LoadOptions, "path" | "gramLimit">;

/**
 * The memory of one dictionary version: its claim on the ledger, and whether its runtime process may hold a Gram matrix. Once
 * a process ran out of memory with its matrix, the version goes on without one.
 */
export class DictionaryMemory {
  readonly #ledger: MemoryLedger;
  readonly #claim: MemoryClaim;
  readonly #manifest: DictionaryManifest;
  readonly #load: GramOptions;
  readonly #needed: number;
  readonly #words: MemoryWords;
  #gram: "undecided" | "granted" | "refused" = "undecided";
  #warning: string | null = null;
  /** Whether the present process holds the whole matrix. */
  #complete = false;
  #kills = 0;

  private constructor(
    ledger: MemoryLedger,
    claim: MemoryClaim,
    manifest: DictionaryManifest,
    load: GramOptions,
    words: MemoryWords,
  ) {
    this.#ledger = ledger;
    this.#claim = claim;
    this.#manifest = manifest;
    this.#load = load;
    this.#words = words;
    this.#needed = (claim.uses.runtime ?? 0) + (claim.uses.text ?? 0);
  }

  /**
   * Resolves when the ledger has granted what the load takes; asks it before it returns.
   * @throws Fault memory_limit where the limit leaves no room
   */
  static async claim(
    ledger: MemoryLedger,
    manifest: DictionaryManifest,
    needs: MemoryNeeds,
    load: GramOptions,
    words: MemoryWords = { subject: "It", again: loadAgain(manifest.id) },
  ): Promise<DictionaryMemory> {
    try {
      return new DictionaryMemory(ledger, await ledger.claim(needs), manifest, load, words);
    } catch (error) {
      throw error instanceof MemoryRefused ? new Fault("memory_limit", [refusal(words, error, ledger.limit)]) : error;
    }
  }

  /** How the next process is to load: with a Gram matrix where one is wanted and fits beside everything else. */
  loadOptions(): GramOptions {
    this.#complete = false;
    if (!wantsGram(this.#manifest, this.#load)) return this.#load;
    if (this.#gram === "undecided") {
      const { free, limit } = this.#ledger;
      if (this.#claim.grow("gram", gramBytes(this.#manifest.m))) this.#gram = "granted";
      else this.#refuse(`${inMiB(free)} of the ${inMiB(limit)} that PURSUIT_MEMORY_LIMIT allows are free`);
    }
    return this.#gram === "granted" ? this.#load : { path: withoutGram(this.#load.path), gramLimit: 0 };
  }

  /** A process has loaded the dictionary: its memory is measured from now on. */
  loaded({ pid, facts: { chosen } }: Pick<RuntimeProcess, "pid" | "facts">): void {
    this.pathChanged(chosen);
    const { m } = this.#manifest;
    const resident = (): number | null => (pid === undefined ? null : residentBytes(pid));
    const atLoad = resident();
    this.#claim.measured(() => {
      // While a matrix is being made, nobody knows how much of it is there: it counts as a whole, and not here.
      const now = this.#gram === "granted" && !this.#complete ? atLoad : resident();
      if (now === null) return null;
      const inProcess = this.#complete && chosen.runtime === "cpu" ? gramBytes(m) : 0;
      return Math.max(0, now - inProcess) + workingBytes(m);
    });
  }

  /** The session has changed its path, for example after its Gram matrix was completed. */
  pathChanged({ path }: RuntimeChoice): void {
    this.#complete = path === "fused" || path === "gram";
  }

  /** A process probably ran out of memory. @returns whether the next one is smaller */
  shrink(): boolean {
    // One with its whole matrix may have been killed for its size alone: once it gets the matrix again.
    if (this.#gram !== "granted" || (this.#complete && ++this.#kills === 1)) return false;
    this.#claim.drop("gram");
    this.#refuse("the process that held it ended, probably out of memory");
    return true;
  }

  /** Why the dictionary is served without its Gram matrix, and what to do; null where it has one, or wants none. */
  get warning(): string | null {
    return this.#warning;
  }

  /** Bytes held, by use, measured anew where the last time was long ago. */
  get uses(): MemoryNeeds {
    return this.#ledger.holds(this.#claim);
  }

  /** What a load without Gram matrix takes, in words. */
  get needed(): string {
    return inMiB(this.#needed);
  }

  /** What to say of a load that has failed so many times. */
  outOfMemory(times: number, why: string): string {
    const limit = inMiB(this.#ledger.limit);
    const { subject, again } = this.#words;
    return `${subject} could not be loaded in ${times} tries: ${why}. It is probably out of memory: about ${this.needed} needed, PURSUIT_MEMORY_LIMIT is ${limit}. Give the server more memory or unload another dictionary, then ${again}.`;
  }

  release(): void {
    this.#claim.release();
  }

  #refuse(why: string): void {
    this.#gram = "refused";
    const { id, m } = this.#manifest;
    this.#warning = `${this.#words.subject} is served without its Gram matrix (${inMiB(gramBytes(m))}), and slower: ${why}. When there is more memory, ${loadAgain(id)}.`;
  }
}

function wantsGram(manifest: DictionaryManifest, { path, gramLimit }: GramOptions): boolean {
  if (specOf(manifest).family !== "pursuit") return false;
  return path === "auto" ? 4 * manifest.m ** 2 <= gramLimit : path === "fused" || path === "gram";
}

/** The same form of the pursuit without the matrix. */
function withoutGram(path: GramOptions["path"]): GramOptions["path"] {
  if (path === "fused") return "fused_residual";
  return path === "gram" ? "residual" : path;
}

function refusal({ subject, again }: MemoryWords, { needed, free, allowed }: MemoryRefused, limit: number): string {
  const [room, remedy] =
    needed > allowed
      ? [`dictionaries may have ${inMiB(allowed)}`, "Give the server more memory or raise the limit"]
      : [`${inMiB(Math.max(0, free))} are free`, "Unload another dictionary or raise the limit"];
  return `${subject} needs ${inMiB(needed)} of memory; of the ${inMiB(limit)} that PURSUIT_MEMORY_LIMIT allows, ${room}. ${remedy}, then ${again}.`;
}

const loadAgain = (id: string): string => `POST /v2/repository/models/${id}/load`;

const inMiB = (bytes: number): string => `${Math.ceil(bytes / MiB).toLocaleString("en")} MiB`;
