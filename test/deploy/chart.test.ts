/** The Helm chart, by helm itself and against Kubernetes' schemas. tools/ci-setup installs helm and kubernetes-validate. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { unknownVariables } from "../../src/server/settings.ts";
import { preparedPython } from "../support/prepared-python.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { findTool } from "../support/tool.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CHART = `${ROOT}deploy/helm/pursuit`;
const KUBERNETES = "1.36.0";
/** Kinds of operators, which Kubernetes has no schema of. */
const FOREIGN = new Set(["ScaledObject", "ServiceMonitor", "PrometheusRule"]);

const helm = findTool("helm", "helm");
const python = preparedPython("kubernetes-validate", `${ROOT}test/deploy/requirements.txt`);

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[];
  readonly securityContext: object;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
}
interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly data?: Readonly<Record<string, string>>;
  // oxlint-disable-next-line typescript/no-explicit-any -- manifests of many kinds
  readonly spec: any;
}

const CASES = {
  defaults: {},
  hpa: { autoscaling: { kind: "hpa", busyShare: 0.65 } },
  keda: {
    autoscaling: { kind: "keda", predictedWaitSeconds: 0.5 },
    keys: { existingSecret: "pursuit-keys", adminKeys: "admin-keys" },
    serviceMonitor: { enabled: true, keySecret: { name: "pursuit-keys", key: "scrape" } },
    prometheusRule: { enabled: true, runbookUrl: "https://docs.example.org/runbook" },
    dashboard: { enabled: true },
    settings: { PURSUIT_MAX_BYTES_IN_FLIGHT: 100_000_000, PURSUIT_LOAD: "lazy" },
    state: { urlSecret: { name: "pursuit-state" }, databasePort: 6432 },
  },
  pull: {
    models: {
      source: "pull",
      pull: [
        { name: "release/id", id: "one" },
        { name: "hf://owner/repo/path", id: "two", args: ["--kind", "relu"] },
      ],
      hub: { endpoint: "http://hub.example.org", tokenSecret: { name: "hub", key: "token" } },
    },
  },
  volume: {
    replicaCount: 1,
    models: { source: "volume", volume: { persistentVolumeClaim: { claimName: "models", readOnly: true } } },
    state: { volume: { persistentVolumeClaim: { claimName: "state" } } },
    podDisruptionBudget: { maxUnavailable: "50%" },
    networkPolicy: { from: [{ podSelector: { matchLabels: { role: "client" } } }] },
  },
  job: {
    encodeFiles: {
      enabled: true,
      completions: 4,
      dictionary: "one",
      inputs: ["/data/rows/*.npy"],
      args: ["--max-atoms", "32"],
      data: { persistentVolumeClaim: { claimName: "rows" } },
    },
  },
} as const;

/** What helm says of the chart with some values. @throws Error with its words */
function run(command: readonly string[], values: object): string {
  const file = join(temporaryFolder(), "values.yaml");
  // YAML reads JSON.
  writeFileSync(file, JSON.stringify(values));
  return execFileSync(helm!, [...command, CHART, "--values", file], { encoding: "utf8", stdio: "pipe" });
}

const template = (values: object): string =>
  run(["template", "fleet", "--namespace", "team", "--kube-version", KUBERNETES], values);

function render(values: object): readonly Resource[] {
  return parseAllDocuments(template(values))
    .map((document) => document.toJS() as Resource | null)
    .filter((resource) => resource !== null);
}

const only = (resources: readonly Resource[], kind: string): Resource => {
  const found = resources.filter((resource) => resource.kind === kind);
  expect(found).toHaveLength(1);
  return found[0]!;
};

const serverOf = (resources: readonly Resource[]): Container =>
  only(resources, "Deployment").spec.template.spec.containers[0];

describe.runIf(helm !== null)("the Helm chart", () => {
  it.each(Object.keys(CASES) as (keyof typeof CASES)[])("passes helm lint --strict: %s", (name) => {
    expect(run(["lint", "--strict"], CASES[name])).toContain("0 chart(s) failed");
  });

  it.runIf(python !== null).each(Object.keys(CASES) as (keyof typeof CASES)[])(
    "passes Kubernetes' own schemas, unknown fields refused: %s",
    (name) => {
      const file = join(temporaryFolder(), "resources.json");
      const resources = render(CASES[name]).filter(({ kind }) => !FOREIGN.has(kind));
      expect(resources.length).toBeGreaterThan(4);
      writeFileSync(file, JSON.stringify(resources));
      // The first check shows that a fault would be found.
      const script = `
import json, sys, kubernetes_validate as kv
resources = json.load(open(sys.argv[1]))
deployment = next(r for r in resources if r["kind"] == "Deployment")
broken = json.loads(json.dumps(deployment)); broken["spec"]["template"]["spec"]["contianers"] = []
try:
    kv.validate(broken, "1.36", strict=True); sys.exit("a wrong field was not found")
except kv.ValidationError: pass
for resource in resources: kv.validate(resource, "1.36", strict=True)
print(len(resources))`;
      expect(execFileSync(python!, ["-c", script, file], { encoding: "utf8" }).trim()).toBe(String(resources.length));
    },
  );

  it.each([
    ["a kind of autoscaling that is none", { autoscaling: { kind: "hpaa" } }, "kind"],
    ["a misspelt value", { image: { repositry: "x" } }, "repositry"],
    ["a setting that is none of Pursuit's", { settings: { MAX_WAIT: 1 } }, "MAX_WAIT"],
    ["a setting that the chart sets itself", { settings: { PURSUIT_PORT: 1 } }, "PURSUIT_PORT"],
    ["one state folder for two servers", { state: { volume: { emptyDir: {} } } }, "belongs to one server"],
    [
      "one state folder for a scaled fleet",
      { replicaCount: 1, autoscaling: { kind: "keda" }, state: { volume: { emptyDir: {} } } },
      "belongs to one server",
    ],
    [
      "a folder beside a database",
      { replicaCount: 1, state: { volume: { emptyDir: {} }, urlSecret: { name: "state" } } },
      "state.urlSecret",
    ],
    ["a database's password in plain text", { settings: { PURSUIT_STATE_URL: "x" } }, "PURSUIT_STATE_URL"],
    ["nothing to pull", { models: { source: "pull" } }, "models.pull"],
    ["no volume of models", { models: { source: "volume" } }, "models.volume"],
    ["no files to encode", { encodeFiles: { enabled: true } }, "encodeFiles.inputs"],
    ["no volume of files", { encodeFiles: { enabled: true, inputs: ["x"] } }, "encodeFiles.data"],
    [
      "files of no dictionary",
      { encodeFiles: { enabled: true, inputs: ["x"], data: { emptyDir: {} } } },
      "encodeFiles.dictionary",
    ],
  ])("refuses %s, and says where", (_, values, words) => {
    expect(() => template(values)).toThrow(words);
  });

  it("gives the server no rights and no writable file system, in every container", () => {
    const resources = render({ ...CASES.pull, ...CASES.job });
    const pods = [only(resources, "Deployment"), only(resources, "Job")].map(({ spec }) => spec.template.spec);
    for (const pod of pods) {
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } },
      });
      for (const { securityContext } of [...pod.containers, ...pod.initContainers] as Container[]) {
        expect(securityContext).toEqual({
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] },
        });
      }
    }
  });

  it("mounts a volume at each folder that the image writes", () => {
    const folders = [...readFileSync(`${ROOT}Dockerfile`, "utf8").matchAll(/PURSUIT_(?:CACHE|STATE)_DIR=(\S+)/g)];
    const mounted = serverOf(render({})).volumeMounts.map(({ mountPath }) => mountPath);
    expect(mounted.toSorted()).toEqual([...new Set(folders.map(([, folder]) => folder!))].toSorted());
  });

  it("accepts the names of its service, and those that are added", () => {
    const allowed = (values: object): string | undefined =>
      serverOf(render(values)).env.find(({ name }) => name === "PURSUIT_ALLOWED_HOSTS")?.value;
    const names = "fleet-pursuit,fleet-pursuit.team,fleet-pursuit.team.svc,fleet-pursuit.team.svc.cluster.local";
    expect(allowed({})).toBe(names);
    expect(allowed({ allowedHosts: ["pursuit.example.org"] })).toBe(`${names},pursuit.example.org`);
    expect(allowed({ allowedHosts: ["*"] })).toBe("*");
  });

  it("takes keys from the secret, and writes numbers in full", () => {
    const { env } = serverOf(render(CASES.keda));
    for (const [name, key] of [
      ["PURSUIT_API_KEYS", "api-keys"],
      ["PURSUIT_ADMIN_KEYS", "admin-keys"],
    ])
      expect(env).toContainEqual({ name, valueFrom: { secretKeyRef: { name: "pursuit-keys", key } } });
    expect(env).toContainEqual({ name: "PURSUIT_MAX_BYTES_IN_FLIGHT", value: "100000000" });
  });

  it("takes the database's address from the secret, and lets the server reach it", () => {
    const resources = render(CASES.keda);
    const secretKeyRef = { name: "pursuit-state", key: "url" };
    expect(serverOf(resources).env).toContainEqual({ name: "PURSUIT_STATE_URL", valueFrom: { secretKeyRef } });
    const { egress } = only(resources, "NetworkPolicy").spec;
    expect(egress).toContainEqual({ ports: [{ protocol: "TCP", port: 6432 }] });
    expect(JSON.stringify(render({}))).not.toMatch(/PURSUIT_STATE_URL|5432/);
  });

  it("sets variables that the server knows", () => {
    const names = Object.values(CASES).flatMap((values) => serverOf(render(values)).env.map(({ name }) => name));
    expect(unknownVariables(Object.fromEntries(names.map((name) => [name, ""])))).toEqual([]);
    expect(unknownVariables({ PURSUIT_MAX_WAIT: "" })).toHaveLength(1);
  });

  it("leaves the number of replicas to the autoscaler, which asks for both signals", () => {
    expect(only(render({}), "Deployment").spec.replicas).toBe(2);
    const hpa = render(CASES.hpa);
    expect(only(hpa, "Deployment").spec).not.toHaveProperty("replicas");
    const adapter = readFileSync(`${ROOT}deploy/prometheus/adapter-rules.yaml`, "utf8");
    const { custom } = (parse(adapter) as { rules: { custom: readonly { name: { as: string } }[] } }).rules;
    expect(
      only(hpa, "HorizontalPodAutoscaler").spec.metrics.map(
        ({ pods }: { pods: { metric: { name: string }; target: { averageValue: string } } }) => [
          pods.metric.name,
          pods.target.averageValue,
        ],
      ),
    ).toEqual(custom.map(({ name }, i) => [name.as, ["650m", "1000m"][i]]));
    const { triggers } = only(render(CASES.keda), "ScaledObject").spec;
    expect(triggers.map(({ metadata }: { metadata: { threshold: string } }) => metadata.threshold)).toEqual([
      "0.7",
      "0.5",
    ]);
    expect(JSON.stringify(triggers)).toContain("pursuit_predicted_wait_seconds");
    expect(JSON.stringify(triggers)).toContain("pursuit_busy_core_seconds_total");
  });

  it("ships the tested alert rules and the dashboard, word for word", () => {
    const resources = render(CASES.keda);
    const rules = readFileSync(`${ROOT}deploy/prometheus/pursuit.rules.yaml`, "utf8");
    expect(only(resources, "PrometheusRule").spec).toEqual(
      parse(rules.replaceAll("docs/runbook.md", "https://docs.example.org/runbook")),
    );
    expect(JSON.parse(only(resources, "ConfigMap").data!["pursuit.json"]!)).toEqual(
      JSON.parse(readFileSync(`${ROOT}deploy/grafana/pursuit.json`, "utf8")),
    );
  });

  it("pulls each dictionary into the folder that the server reads, before it starts", () => {
    const { initContainers } = only(render(CASES.pull), "Deployment").spec.template.spec;
    expect(initContainers.map(({ args }: Container) => args)).toEqual([
      ["one", "release/id", "--id", "one"],
      ["two", "hf://owner/repo/path", "--id", "two", "--kind", "relu"],
    ]);
    const server = serverOf(render(CASES.pull));
    const folder = server.env.find(({ name }) => name === "PURSUIT_MODELS_DIR")!.value;
    expect(server.volumeMounts).toContainEqual({ name: "models", mountPath: folder, readOnly: true });
    for (const container of initContainers as Container[]) {
      expect(container.env).toContainEqual({ name: "PURSUIT_MODELS_DIR", value: folder });
      expect(container.volumeMounts).toContainEqual({ name: "models", mountPath: folder });
    }
  });

  it("gives each index of the job its shard, and another run another name", () => {
    const job = only(render(CASES.job), "Job");
    expect(job.spec).toMatchObject({ completionMode: "Indexed", completions: 4 });
    expect(job.spec.template.spec.containers[0].args).toEqual([
      "encode-files",
      "/data/rows/*.npy",
      "--dictionary=one",
      "--out=/data/codes",
      "--shard=$(JOB_COMPLETION_INDEX)/4",
      "--max-atoms",
      "32",
    ]);
    const other = render({ encodeFiles: { ...CASES.job.encodeFiles, dictionary: "two" } });
    expect(only(other, "Job").metadata.name).not.toBe(job.metadata.name);
  });

  it("sends the service only to servers, not to the pods of the job", () => {
    const resources = render(CASES.job);
    const { selector } = only(resources, "Service").spec;
    expect(only(resources, "Deployment").spec.template.metadata.labels).toMatchObject(selector);
    expect(only(resources, "Job").spec.template.metadata.labels).not.toMatchObject(selector);
  });
});
