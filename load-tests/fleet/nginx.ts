import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "../../test/support/until.ts";

const DEPLOY = fileURLToPath(new URL("../../deploy/nginx", import.meta.url));
const PLACES = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];

/** An nginx of a run's own, with the files of deploy/nginx. */
export interface Nginx {
  readonly base: string;
  /** Such as 1.22.1. */
  readonly version: string;
  /**
   * Has it send to these ports of loopback from now on. A reload closes idle connections of clients at any moment before nginx 1.27.4
   * (`keepalive_min_timeout`), and breaks a request that is sent just then: so clients get none here.
   */
  readonly replicas: (ports: readonly number[]) => void;
  readonly end: () => Promise<void>;
}

/** @throws Error that says how to get it */
export function findNginx(given?: string): string {
  const found = given ?? PLACES.find((path) => existsSync(path));
  if (found === undefined)
    throw new Error("There is no nginx: install Debian's package nginx-light, or name one with --nginx.");
  return found;
}

/** A port of loopback that nothing uses. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  await once(server.close(), "close");
  return port;
}

/**
 * @param upstream file of deploy/nginx with the upstream
 * @param reloads whether `replicas` will be called
 */
export async function startNginx(
  program: string,
  upstream: string,
  ports: readonly number[],
  reloads = false,
): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), "pursuit-nginx-"));
  const port = await freePort();
  const list = join(folder, "pursuit-replicas.conf");
  const write = (servers: readonly number[]): void =>
    writeFileSync(list, servers.map((one) => `server 127.0.0.1:${one} max_fails=1 fail_timeout=2s;\n`).join(""));
  write(ports);
  for (const file of [upstream, "pursuit-locations.conf"]) copyFileSync(join(DEPLOY, file), join(folder, file));
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (one) => `${one}_temp_path ${folder}/${one};`,
  );
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; pid ${folder}/pid; error_log stderr error; worker_processes 1;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 512; }
http {
  access_log off;${reloads ? " keepalive_timeout 0;" : ""}
  ${temporary.join("\n  ")}
  include ${upstream};
  server { listen 127.0.0.1:${port}; include pursuit-locations.conf; }
}
`,
  );
  const child: ChildProcess = spawn(program, ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (log += text));
  const exited = once(child, "exit");
  const base = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${log}`);
    return (await fetch(`${base}/health/live`).catch(() => null)) !== null;
  });
  return {
    base,
    version: /nginx\/(\S+)/.exec(execFileSync("sh", ["-c", `"${program}" -v 2>&1`], { encoding: "utf8" }))![1]!,
    replicas(servers) {
      write(servers);
      // It reads its files again; requests under way go on in the old worker.
      child.kill("SIGHUP");
    },
    async end() {
      child.kill("SIGTERM");
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
