import { readFileSync, watchFile, unwatchFile } from "node:fs";
import { createSecureContext, Server } from "node:tls";
import type { FastifyInstance } from "fastify";
import { Fault } from "../engine/core/errors.ts";
import type { Settings } from "./settings.ts";

export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

type TlsSettings = Pick<Settings, "tlsCert" | "tlsKey">;

/** Milliseconds between two looks at the files. Watches of the system miss a volume of Kubernetes, which swaps links. */
const LOOK = 1_000;

/**
 * Reads the certificate chain and its key; null where TLS is not set.
 * @throws Fault that names the file
 */
export function readCertificate({ tlsCert, tlsKey }: TlsSettings): Certificate | null {
  if (tlsCert === "" && tlsKey === "") return null;
  if (tlsCert === "" || tlsKey === "")
    throw new Fault("settings", ["PURSUIT_TLS_CERT and PURSUIT_TLS_KEY belong together: set both or neither."]);
  const [cert, key] = [read("PURSUIT_TLS_CERT", tlsCert), read("PURSUIT_TLS_KEY", tlsKey)];
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    const why = (error as Error).message;
    throw new Fault("settings", [`${tlsCert} and ${tlsKey} are not a PEM certificate and its key: ${why}.`]);
  }
  return { cert, key };
}

function read(variable: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Fault("settings", [`${variable}: ${path} cannot be read: ${(error as Error).message}.`]);
  }
}

/** Uses new files as soon as they are there. Until both belong together, the old ones are used; a log line says so. */
export function followCertificate(app: FastifyInstance, settings: TlsSettings): void {
  const { server, log } = app;
  if (!(server instanceof Server)) return;
  const files = [settings.tlsCert, settings.tlsKey];
  const reread = (): void => {
    try {
      server.setSecureContext(readCertificate(settings)!);
      log.info("New TLS certificate in use.");
    } catch (error) {
      log.warn(`The TLS certificate was not replaced: ${(error as Error).message}`);
    }
  };
  for (const file of files) watchFile(file, { interval: LOOK, persistent: false }, reread);
  server.once("close", () => {
    for (const file of files) unwatchFile(file, reread);
  });
}
