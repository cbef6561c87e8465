import type { FastifyInstance } from "fastify";
import { WireError } from "../codecs/codec-error.ts";
import { pathOf } from "./request-span.ts";

/** Characters of a client's path repeated in an error. */
const SHOWN_PATH = 200;

/**
 * Refuses requests without a route, before their body is read: 405 with `allow` if the path takes another method, else
 * 404. Create it before the first route is added.
 */
export class Unmatched {
  /** Methods of each route's path, as Fastify writes it. */
  readonly #methods = new Map<string, Set<string>>();
  #paths: readonly { readonly pattern: RegExp; readonly methods: ReadonlySet<string> }[] | null = null;

  constructor(app: FastifyInstance) {
    app.addHook("onRoute", ({ method, url }) => {
      const methods = this.#methods.get(url) ?? new Set();
      for (const one of [method].flat()) methods.add(one);
      this.#methods.set(url, methods);
      this.#paths = null;
    });
  }

  /** Adds the refusal; call it after the hooks that must come first, such as the key check. */
  register(app: FastifyInstance): void {
    app.addHook("onRequest", (request, reply, next) => {
      if (!request.is404) return next();
      const allowed = this.methodsOf(pathOf(request));
      if (allowed.length > 0) void reply.header("allow", allowed.join(", "));
      const asked = `There is no ${request.method} ${pathOf(request).slice(0, SHOWN_PATH)};`;
      next(
        allowed.length > 0
          ? new WireError("PURSUIT_METHOD_NOT_ALLOWED", `${asked} this path takes ${allowed.join(", ")}.`)
          : new WireError("PURSUIT_ROUTE_NOT_FOUND", `${asked} GET /docs shows what there is.`),
      );
    });
  }

  /** Methods of a path; none if it does not exist. */
  methodsOf(path: string): readonly string[] {
    this.#paths ??= [...this.#methods].map(([route, methods]) => ({ pattern: patternOf(route), methods }));
    const taken = this.#paths.flatMap(({ pattern, methods }) => (pattern.test(path) ? [...methods] : []));
    return [...new Set(taken)].toSorted();
  }
}

/** `/v1/dictionaries/:id` matches any one part at `:id`, a final `*` any rest. */
function patternOf(path: string): RegExp {
  const parts = path.split(/(:\w+|\*)/).map((part) => {
    if (part === "*") return ".*";
    return part.startsWith(":") ? "[^/]+" : part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  });
  return new RegExp(`^${parts.join("")}$`);
}
