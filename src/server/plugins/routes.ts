import type { FastifyRequest } from "fastify";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Changes what is served (load, unload, labels, saved steering sets): requires an admin key where there are some. */
    management?: boolean;
    /** A page for people, or a file of it. It holds no data: it requires no key, and other sites may link to it. */
    page?: boolean;
  }
}

/** Health routes of both APIs. Platforms ask them without a key, by any name, as often as they like. */
export const isHealthPath = (path: string): boolean => /^(\/v2)?\/health\//.test(path);

export const isHealth = ({ routeOptions }: FastifyRequest): boolean => isHealthPath(routeOptions.url ?? "");

export const isPage = ({ routeOptions }: FastifyRequest): boolean => routeOptions.config.page === true;
