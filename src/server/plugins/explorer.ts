import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance } from "fastify";

/** Files of the page below {@link FOLDER}; their names hold a digest of their content. */
const FILES = "ui";

/** Where the build puts the page, beside the built server. */
export const EXPLORER_FOLDER = fileURLToPath(new URL("../../ui/", import.meta.url));

/** For clients that are no browsers. Relative: a proxy may serve the server below a path. */
const GREETING = "Pursuit. Open this address in a browser to see what codes mean. The API: ./docs, ./openapi.json\n";

/**
 * Serves the explorer: its page at / to browsers, its files under /ui. Other clients are sent from / to /docs, with a line that
 * names both; so is everybody where the page has not been built.
 * @param folder the built page; absent: none
 */
export async function registerExplorer(app: FastifyInstance, folder?: string): Promise<void> {
  const page = folder === undefined ? null : await readFile(`${folder}/index.html`, "utf8").catch(() => null);
  await app.register(async (pages) => {
    pages.addHook("onRoute", (route) => {
      route.config = { ...route.config, page: true };
    });
    pages.get("/", { schema: { hide: true } }, (request, reply) => {
      void reply.header("vary", "accept");
      // JSON comes first in a list without preferences, as curl's */*.
      if (page === null || request.accepts().type(["json", "html"]) !== "html") {
        return reply
          .code(302)
          .header("location", "docs")
          .send(page === null ? "" : GREETING);
      }
      // The names of its files change with each release.
      return reply.type("text/html; charset=utf-8").header("cache-control", "no-cache").send(page);
    });
    if (page === null) return;
    await pages.register(fastifyStatic, {
      root: `${folder}/${FILES}`,
      prefix: `/${FILES}/`,
      decorateReply: false,
      index: false,
      immutable: true,
      maxAge: "1y",
    });
  });
}
