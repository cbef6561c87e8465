import type { FastifyReply, FastifyRequest } from "fastify";
import type { AnswerType } from "../codecs/answers.ts";
import type { BodyType } from "../codecs/read-body.ts";
import { WireError } from "../codecs/codec-error.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Answer types of the route, the default first; absent: JSON. */
    answers?: readonly AnswerType[];
  }
  interface FastifyRequest {
    /** Chosen by Accept before the body is read. */
    answerType: AnswerType;
  }
}

/** numpy registered no type; this is what others send. */
export const NPY_MEDIA = "application/x-npy";

/** Content types of bodies. msgpack was in use for years before it was registered. */
export const BODY_MEDIA: ReadonlyMap<string, BodyType> = new Map([
  ["application/json", "json"],
  ["application/msgpack", "msgpack"],
  ["application/x-msgpack", "msgpack"],
  ["application/vnd.msgpack", "msgpack"],
  ["application/octet-stream", "octet-stream"],
  [NPY_MEDIA, "npy"],
]);

export const LINES_MEDIA = "application/x-ndjson";

/** Content types of answers, each with other names that a client may accept. The first is sent. */
const ANSWER_MEDIA: Readonly<Record<AnswerType, readonly [string, ...string[]]>> = {
  // Some clients name the charset, and Accept is compared parameter by parameter.
  json: ["application/json", "application/json; charset=utf-8"],
  msgpack: ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"],
  safetensors: ["application/vnd.safetensors"],
  "octet-stream": ["application/octet-stream"],
  ndjson: [LINES_MEDIA, `${LINES_MEDIA}; charset=utf-8`],
};

/**
 * An answer for an async handler to return. Not the reply itself: that is a promise of the response's end, and Fastify
 * would wait for it with listeners for every way in which a response may end.
 */
export function answerOf<T>(reply: FastifyReply, media: string, payload: T): T {
  void reply.type(media);
  return payload;
}

export const mediaOf = (type: AnswerType): string => ANSWER_MEDIA[type][0];

const TYPE_OF = new Map(
  (Object.keys(ANSWER_MEDIA) as AnswerType[]).flatMap((type) =>
    ANSWER_MEDIA[type].map((media): [string, AnswerType] => [media, type]),
  ),
);

const JSON_ONLY: readonly AnswerType[] = ["json"];
const LINES_ONLY: readonly AnswerType[] = ["ndjson"];

/** Lines are answered by lines, because either may be endless. */
const isLines = ({ headers }: FastifyRequest): boolean => headers["content-type"]?.startsWith(LINES_MEDIA) ?? false;

/**
 * Cached choices for Accept values: clients send a handful of them, and evaluating one takes as long as reading some
 * rows. Bounded, whatever clients send.
 */
const chosenBefore = new WeakMap<readonly AnswerType[], Map<string, AnswerType | null>>();
const MOST_KNOWN = 64;
const LONGEST_KNOWN = 256;

/** Characters of a client's header repeated in an error. */
export const SHOWN = 100;

/**
 * Chooses the route's answer type by Accept and its q-values (RFC 9110 §12.5.1).
 * @throws WireError PURSUIT_NOT_ACCEPTABLE
 */
export function negotiate(request: FastifyRequest): AnswerType {
  const { answers = JSON_ONLY } = request.routeOptions.config;
  const offered = isLines(request) && answers.includes("ndjson") ? LINES_ONLY : answers;
  const { accept } = request.headers;
  if (accept === undefined) return offered[0]!;
  let known = chosenBefore.get(offered);
  if (known === undefined) chosenBefore.set(offered, (known = new Map()));
  let chosen = known.get(accept);
  if (chosen === undefined) {
    const media = request.accepts().type(offered.flatMap((type) => [...ANSWER_MEDIA[type]]));
    chosen = (typeof media === "string" && TYPE_OF.get(media)) || null;
    if (known.size < MOST_KNOWN && accept.length <= LONGEST_KNOWN) known.set(accept, chosen);
  }
  if (chosen !== null) return chosen;
  throw new WireError(
    "PURSUIT_NOT_ACCEPTABLE",
    `Answers are ${offered.map(mediaOf).join(", ")}; the request accepts ${accept.slice(0, SHOWN)}.`,
  );
}
