import type { FastifyRequest } from "fastify";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Changes what is served (load, unload, labels, saved steering sets): requires an admin key if any are set. */
    management?: boolean;
    /** A page for people, or a file of it. It holds no data, requires no key, and other sites may link to it. */
    page?: boolean;
  }
}

/** Health routes of both APIs: no key, any host name, no rate limit. */
export const isHealthPath = (path: string): boolean => /^(\/v2)?\/health\//.test(path);

export const isHealth = ({ routeOptions }: FastifyRequest): boolean => isHealthPath(routeOptions.url ?? "");

export const isPage = ({ routeOptions }: FastifyRequest): boolean => routeOptions.config.page === true;
