/** What can be checked of the deployment by reading it. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string): string => readFileSync(`${ROOT}${path}`, "utf8");

interface InferenceService {
  readonly spec: {
    readonly predictor: {
      readonly automountServiceAccountToken: boolean;
      readonly volumes: readonly { readonly name: string }[];
      readonly containers: readonly {
        readonly env: readonly { name: string; value?: string; valueFrom?: { secretKeyRef: { name: string } } }[];
        readonly resources: { readonly limits: { readonly memory: string } };
        readonly securityContext: object;
        readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
      }[];
    };
  };
}

describe("the Dockerfile", () => {
  const dockerfile = read("Dockerfile");
  const images = new Map([...dockerfile.matchAll(/^ARG (\w+_IMAGE)=(\S+)$/gm)].map(([, name, image]) => [name, image]));

  it("names every base image by digest", () => {
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base!);
    expect(bases.length).toBeGreaterThan(2);
    for (const base of bases) {
      expect(images.get(/^\$\{(\w+)\}$/.exec(base)?.[1])).toMatch(/^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$/);
    }
    expect(dockerfile).not.toMatch(/^# syntax=/m);
  });

  it("takes the CUDA provider of the binding's version, by hash", () => {
    const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, { version: string }> };
    const { version } = packages["node_modules/onnxruntime-node"]!;
    const wheels = read("deploy/onnxruntime-gpu.txt")
      .split("\n")
      .filter((line) => /^\w/.test(line));
    expect(wheels).toEqual([
      expect.stringMatching(new RegExp(`^onnxruntime-gpu==${version} --hash=sha256:[0-9a-f]{64}$`)),
    ]);
    expect(dockerfile).toMatch(/pip download .*--require-hashes/);
  });

  it("runs a Node version that package.json allows and .ci/run tests with", () => {
    const [, version] = /^node:(\d+\.\d+\.\d+)-/.exec(images.get("NODE_IMAGE")!)!;
    const { engines } = JSON.parse(read("package.json")) as { engines: { node: string } };
    const [, major, minor] = /^>=(\d+)\.(\d+)$/.exec(engines.node)!;
    const [ours, theirs] = [version!.split(".").map(Number), [Number(major), Number(minor)]];
    expect(ours[0]! > theirs[0]! || (ours[0] === theirs[0] && ours[1]! >= theirs[1]!)).toBe(true);
    const [line] = /^image_node=.*$/m.exec(read(".ci/run"))!;
    const tested = execFileSync("bash", ["-c", `${line}; echo "$image_node"`], { cwd: ROOT, encoding: "utf8" });
    expect(tested.trim()).toBe(version);
  });
});

describe("deploy/kserve.yaml", () => {
  const { predictor } = (parse(read("deploy/kserve.yaml")) as InferenceService).spec;
  const [container] = predictor.containers;

  it("runs without rights, on a file system that it cannot write", () => {
    expect(container!.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 1000,
      runAsGroup: 1000,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect(predictor.automountServiceAccountToken).toBe(false);
  });

  it("gives it a place for each folder that it writes", () => {
    const folders = [...read("Dockerfile").matchAll(/PURSUIT_(?:CACHE|STATE)_DIR=(\S+)/g)].map(([, folder]) => folder!);
    expect(container!.volumeMounts.map(({ mountPath }) => mountPath).toSorted()).toEqual(
      [...new Set(folders)].toSorted(),
    );
    const mounted = container!.volumeMounts.map(({ name }) => name).toSorted();
    expect(predictor.volumes.map(({ name }) => name).toSorted()).toEqual(mounted);
  });

  it("limits its memory", () => {
    expect(container!.resources.limits.memory).toMatch(/^\d+Gi$/);
  });

  it("takes both kinds of keys from a secret, and holds none", () => {
    for (const name of ["PURSUIT_API_KEYS", "PURSUIT_ADMIN_KEYS"]) {
      const variable = container!.env.find((one) => one.name === name);
      expect(variable).toMatchObject({ valueFrom: { secretKeyRef: { name: "pursuit-keys" } } });
      expect(variable).not.toHaveProperty("value");
    }
  });
});

describe("Python packages", () => {
  const locks = ["tools", "test/clients", "deploy"].flatMap((folder) =>
    readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".txt") && !path.includes("helm/"))
      .map((path) => `${folder}/${path}`),
  );

  it.each(locks)("are named by hash in %s", (path) => {
    const requirements = read(path)
      .replaceAll("\\\n", " ")
      .split("\n")
      .filter((line) => /^\w/.test(line));
    expect(requirements.length).toBeGreaterThan(0);
    for (const requirement of requirements) {
      expect(requirement).toMatch(/^[\w.[\]-]+==\S+ (?:;[^#]*)?.*--hash=sha256:[0-9a-f]{64}/);
    }
  });
});

describe("the Ray job", () => {
  interface Container {
    readonly name: string;
    readonly env?: readonly { readonly name: string; readonly value: string }[];
    readonly volumeMounts?: readonly { readonly name: string }[];
    readonly securityContext?: object;
  }
  interface WorkerGroup {
    readonly rayStartParams: { readonly resources: string };
    readonly template: {
      readonly spec: { readonly containers: readonly Container[]; readonly volumes: readonly { name: string }[] };
    };
  }
  const job = parse(read("deploy/ray/rayjob.yaml")) as {
    readonly spec: {
      readonly entrypoint: string;
      readonly rayClusterSpec: { readonly workerGroupSpecs: readonly WorkerGroup[] };
    };
  };
  const [workers] = job.spec.rayClusterSpec.workerGroupSpecs;

  it("offers the resource that each actor takes, and a server beside it where the job looks for it", () => {
    const { RESOURCE } = /^RESOURCE = "(?<RESOURCE>\w+)"$/m.exec(
      read("clients/python/src/pursuit_client/ray.py"),
    )!.groups!;
    // Ray takes JSON in quotes, which the shell of its start command takes off.
    expect(JSON.parse(JSON.parse(workers!.rayStartParams.resources) as string)).toEqual({ [RESOURCE!]: 1 });
    const { containers, volumes } = workers!.template.spec;
    const server = containers.find(({ name }) => name === "pursuit")!;
    expect(server.env).toContainEqual({ name: "PURSUIT_HOST", value: "127.0.0.1" });
    expect(server.securityContext).toMatchObject({ readOnlyRootFilesystem: true, runAsNonRoot: true });
    expect(server.volumeMounts!.map(({ name }) => name)).toEqual(volumes.map(({ name }) => name));
    expect(job.spec.entrypoint).toContain("--url http://127.0.0.1:8080");
  });

  it("gives encode.py flags that it has", () => {
    const flags = [...job.spec.entrypoint.matchAll(/--[a-z-]+/g)].map(([flag]) => flag);
    const known = [...read("deploy/ray/encode.py").matchAll(/add_argument\("(--[a-z-]+)"/g)].map(([, flag]) => flag);
    expect(known).toEqual(expect.arrayContaining(flags));
  });
});
