import Type from "typebox";
import { DICTIONARY_ID_PATTERN } from "../../engine/core/dictionary.ts";
import type { DictionaryState, DictionaryStatus, Engine } from "../../engine/engine.ts";
import { EngineError } from "../../engine/core/errors.ts";
import { describe, invalid, named, WireError } from "../../codecs/codec-error.ts";
import { fieldsExtent } from "../../codecs/extent.ts";
import { parseJson } from "../../codecs/parse-json.ts";
import { sendJson, type V2Request, type V2Route, VERSION } from "./v2-route.ts";

/** Triton's names of the states. */
const STATES = {
  registered: "LOADING",
  loading: "LOADING",
  ready: "READY",
  draining: "UNLOADING",
  failed: "UNAVAILABLE",
  unloaded: "UNAVAILABLE",
} as const satisfies Record<DictionaryState, string>;

const ChangeBodySchema = Type.Object({ parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())) });

/** POST /v2/repository/index and /v2/repository/models/{model}/load and /unload. */
export function repositoryRoutes(engine: Engine): readonly V2Route[] {
  return [
    {
      method: "POST",
      path: "/repository/index",
      summary: "Every dictionary with its state; the body may be empty",
      operationId: "v2RepositoryIndex",
      body: Type.Object({ ready: Type.Optional(Type.Boolean()) }),
      answer: Type.Array(
        Type.Object({ name: Type.String(), version: Type.String(), state: Type.String(), reason: Type.String() }),
      ),
      handle: (request, reply) => {
        const { ready = false } = fieldsOf(request);
        if (typeof ready !== "boolean") throw invalid(`ready must be true or false; it is ${describe(ready)}.`);
        const shown = engine.list().filter(({ state }) => !ready || state === "ready");
        return sendJson(reply, shown.map(entry));
      },
    },
    {
      method: "POST",
      path: "/repository/models/:name/load",
      summary: "Load a dictionary from its folder, or replace the served version by the folder's",
      operationId: "v2Load",
      management: true,
      body: ChangeBodySchema,
      answer: Type.Object({ name: Type.String(), load: Type.Boolean() }),
      handle: async (request, reply) => {
        checkParameters(fieldsOf(request), []);
        const name = nameOf(request);
        await engine.load(name);
        return sendJson(reply, { name, load: true });
      },
    },
    {
      method: "POST",
      path: "/repository/models/:name/unload",
      summary: "Unload a dictionary after its accepted requests are answered",
      operationId: "v2Unload",
      management: true,
      body: ChangeBodySchema,
      answer: Type.Object({ name: Type.String(), unload: Type.Boolean() }),
      handle: async (request, reply) => {
        // No dictionary depends on another, so there is nothing more to unload.
        checkParameters(fieldsOf(request), ["unload_dependents"]);
        const name = nameOf(request);
        await engine.unload(name);
        return sendJson(reply, { name, unload: true });
      },
    },
  ];
}

function entry({ id, state, faults }: DictionaryStatus): object {
  return { name: id, version: VERSION, state: STATES[state], reason: state === "unloaded" ? state : faults.join(" ") };
}

const ID = new RegExp(DICTIONARY_ID_PATTERN);

function nameOf(request: V2Request): string {
  const { name } = request.params as unknown as { readonly name: string };
  if (ID.test(name)) return name;
  throw new EngineError("PURSUIT_DICTIONARY_NOT_FOUND", `${named(name)} is not a valid dictionary name.`);
}

/** Maximum bytes of a body here: it is read on the main thread. */
const MOST_BYTES = 1 << 20;

/** A small JSON object, or nothing: clients post an empty body without a content type. */
function fieldsOf({ body }: V2Request): Readonly<Record<string, unknown>> {
  if (!(body instanceof Uint8Array) || body.length === 0) return {};
  if (body.length > MOST_BYTES) {
    const message = `The body is ${body.length} bytes; this path takes at most ${MOST_BYTES}. A load takes no files: put them into the models folder.`;
    throw new WireError("PURSUIT_BODY_TOO_LARGE", message);
  }
  const fields = parseJson(body, fieldsExtent());
  if (typeof fields === "object" && fields !== null && !Array.isArray(fields)) return fields as Record<string, unknown>;
  throw invalid(`The body must be a JSON object; it is ${describe(fields)}.`);
}

/** Refuses parameters that would change a load, which must not be ignored. */
function checkParameters({ parameters }: Readonly<Record<string, unknown>>, harmless: readonly string[]): void {
  if (parameters === undefined || parameters === null) return;
  if (typeof parameters !== "object" || Array.isArray(parameters)) {
    throw invalid(`parameters must be an object; it is ${describe(parameters)}.`);
  }
  const other = Object.keys(parameters).find((name) => !harmless.includes(name));
  if (other !== undefined) {
    throw invalid(
      `parameters.${named(other)} is not taken: a dictionary is what its folder in the models folder holds.`,
    );
  }
}
