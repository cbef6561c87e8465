import type { Arrivals } from "./client/arrivals.ts";
import type { Budget, Codec, Options } from "./client/codecs.ts";
import type { Drive } from "./client/drive.ts";
import type { AnsweredCode } from "./client/read-answer.ts";
import type { Point } from "./report/chart.ts";
import type { Usage } from "./server/loaded-server.ts";

export const MATCHING_PURSUIT = "minilm-wordnet-mp";
export const TOPK = "minilm-wordnet-topk";

/** Requests of one kind. */
export interface Traffic {
  /** Dictionaries that a connection's requests take in turn; matching pursuit's if not said. */
  readonly ids?: readonly string[];
  readonly rows: number;
  readonly codec: Codec;
  readonly budget: Budget;
  readonly on_overload?: Options["on_overload"];
  readonly connections: number;
  readonly seconds: number;
  readonly arrivals?: Arrivals;
  readonly onCode?: (code: AnsweredCode) => void;
  /** Another server that takes the same bodies and answers codes: a baseline's. */
  readonly elsewhere?: { readonly base: string; readonly path: string };
}

/** A drive, and what the server used while it ran. */
export interface Measured extends Drive {
  readonly before: Usage;
  readonly after: Usage;
  /** Processor time of the clients in this process meanwhile. */
  readonly clientCpuSeconds: number;
}

/** What a scenario works with: measurements against a server of its own. */
export interface Bench {
  /** Of the server, without a slash at its end. */
  readonly base: string;
  /** Seconds of one measurement. */
  readonly seconds: number;
  /** Seconds of the long overload. */
  readonly longSeconds: number;
  readonly quick: boolean;
  /** Drives the traffic and judges every answer when it is over. Answers that were wrong or lost are in the tally. */
  readonly measure: (title: string, traffic: Traffic) => Promise<Measured>;
  /** Two kinds at once, the other from a process of its own, without arrivals; the first one's time counts. */
  readonly measureBeside: (title: string, traffic: Traffic, other: Traffic) => Promise<readonly [Measured, Measured]>;
}

/** A figure that has a goal. */
export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly goal: string;
  readonly met: boolean;
  readonly detail: string;
}

export interface Table {
  readonly caption: string;
  readonly head: readonly string[];
  readonly lines: readonly (readonly (string | number)[])[];
}

export interface Outcome {
  readonly tables: readonly Table[];
  readonly figures: readonly Figure[];
  /** Throughput, p50 and p99 against offered load, by series. */
  readonly chart?: readonly { readonly name: string; readonly points: readonly Point[] }[];
}

export interface Scenario {
  readonly name: string;
  /** What it shows, in a sentence. */
  readonly shows: string;
  /** Settings of its server. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether server and clients have half of the cores each, for themselves; they share all otherwise. */
  readonly apart?: boolean;
  /** How many times it measures. */
  readonly measurements: (quick: boolean) => number;
  readonly run: (bench: Bench) => Promise<Outcome>;
}
