import { type AddressInfo, BlockList, isIP, type Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { WireError } from "../../codecs/codec-error.ts";
import { isHealth } from "./routes.ts";

export interface HostRule {
  /** Names that clients may use for the server, with or without a port. `*` accepts any. */
  readonly allowedHosts: readonly string[];
}

/** Address that the server listens on, and the one that a request came to. */
export interface Reached {
  readonly listening: string;
  readonly address: string;
  readonly port: number;
  /** Whether over TLS. */
  readonly secure?: boolean;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** `::ffff:127.0.0.1`, from a dual-stack socket, means 127.0.0.1. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "");

/** Whether only this machine can reach an IP address. */
export function isLoopback(address: string): boolean {
  const plain = plainAddress(address);
  return isIP(plain) !== 0 && loopback.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
}

/** Port of a Host header without one. */
const HTTP_PORT = 80;
const HTTPS_PORT = 443;

/** Connections over a Unix socket. A browser cannot make one, so their Host header says nothing. */
export const localSockets = new WeakSet<Socket>();

interface Host {
  /** In lower case, an IPv6 address without brackets. */
  readonly name: string;
  readonly port: number | null;
}

/** Splits `name:port`. Null if it is not a host. */
export function parseHost(text: string): Host | null {
  const parts = /^(?:\[([\da-f:.]+)\]|([^\s:[\]/@?#,]+?)\.?)(?::(\d{1,5}))?$/i.exec(text);
  if (parts === null) return null;
  const [, ipv6, name, port] = parts;
  return { name: (ipv6 ?? name!).toLowerCase(), port: port === undefined ? null : Number(port) };
}

/**
 * Returns a test whether a Host header names this server. A web page can point a name of its own at this machine (DNS
 * rebinding): its browser then sends that name, and would let the page read every answer.
 */
export function hostTest({ allowedHosts }: HostRule): (given: string, reached: Reached) => boolean {
  const allowed = allowedHosts.map(parseHost);
  const any = allowedHosts.includes("*");
  let last = { listening: "", local: false };
  return (given, { listening, address, port, secure = false }) => {
    if (any) return true;
    // A server keeps its address: it is judged once, not at each request.
    if (listening !== last.listening) last = { listening, local: isLoopback(listening) };
    const { local } = last;
    if (!local && allowed.length === 0) return true;
    const host = parseHost(given);
    if (host === null) return false;
    const hostPort = host.port ?? (secure ? HTTPS_PORT : HTTP_PORT);
    if (allowed.some((one) => one?.name === host.name && (one.port === null || one.port === hostPort))) return true;
    // An address cannot be rebound, and scrapers and probes use it.
    const isOwn =
      host.name === plainAddress(address) || (local && (host.name === "localhost" || isLoopback(host.name)));
    return isOwn && hostPort === port;
  };
}

/** Refuses requests whose Host header names another server. Health is exempt. */
export function registerHostCheck(app: FastifyInstance, rule: HostRule): void {
  const accepts = hostTest(rule);
  let listening: string | null = null;
  app.addHook("onRequest", (request, _reply, next) => {
    if (localSockets.has(request.socket)) return next();
    // Null before listening.
    listening ??= (app.server.address() as AddressInfo | null)?.address ?? null;
    const { localAddress: address = "", localPort: port = 0 } = request.socket;
    const given = request.headers.host ?? "";
    const secure = request.protocol === "https";
    if (isHealth(request) || accepts(given, { listening: listening ?? "", address, port, secure })) return next();
    const hint =
      listening !== null && isLoopback(listening)
        ? `Use ${new URL(`${request.protocol}://127.0.0.1:${port}`).origin}, or add the name to PURSUIT_ALLOWED_HOSTS.`
        : "Add the name to PURSUIT_ALLOWED_HOSTS.";
    throw new WireError(
      "PURSUIT_HOST_REFUSED",
      `The host ${given.slice(0, 100) || "(none)"} is not this server's. ${hint}`,
    );
  });
}
