/** `pursuit pull` by the built command line, against a stand-in hub on loopback that serves the fixtures' files in real layouts. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { layoutOf } from "../../src/engine/dictionaries/registry/layouts.ts";
import { Registry } from "../../src/engine/dictionaries/registry/registry.ts";
import { loadWeights } from "../../src/engine/dictionaries/weights.ts";
import { parseManifest, readManifest } from "../../src/engine/dictionaries/manifest.ts";
import { callCli } from "../support/call-cli.ts";
import { CLI } from "../support/run-cli.ts";
import { COMMIT, StandInHub } from "../support/stand-in-hub.ts";
import { checkpointBytes, float32Bytes, pickleBytes, tensorBytes } from "../support/torch-bytes.ts";
import { itInFull } from "../support/full.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { until } from "../support/until.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/one-pass/", import.meta.url));
const registry = Registry.read();

let hub: StandInHub;
beforeAll(async () => {
  hub = await StandInHub.start();
});
afterAll(() => hub.close());

/** Folders of one test. */
let models: string;
let cache: string;
const root = temporaryFolder();
let count = 0;
beforeEach(() => {
  const own = join(root, String(count++));
  [models, cache] = [join(own, "models"), join(own, "cache")];
  mkdirSync(models, { recursive: true });
  hub.asked.length = 0;
});

const settings = () => ({
  HF_ENDPOINT: hub.endpoint,
  HF_HUB_CACHE: cache,
  PURSUIT_MODELS_DIR: models,
  HF_TOKEN: "",
  HF_HUB_OFFLINE: "",
  // A connection that stalls waits for the test.
  HF_HUB_DOWNLOAD_TIMEOUT: "600",
});

const pull = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  callCli(["pull", ...args], { ...settings(), ...env });

const manifestOf = (id: string) => parseManifest(readFileSync(join(models, id, "dictionary.json"), "utf8"));

/** Everything below a folder, by its path. */
const everything = (folder: string): readonly string[] =>
  existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];

/** A registered dictionary's repository, filled with a fixture's files. @returns its name in the registry */
function publish(name: string, fixture: string, edit: (text: string) => string = (text) => text): string {
  const entry = registry.find(name)!;
  const folder = join(FIXTURES, fixture);
  const { required, optional } = layoutOf(entry).files(entry);
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const files: Record<string, Uint8Array> = { "README.md": Buffer.from("not asked for") };
  for (const path of [...required, ...optional]) {
    const ending = /_cfg\.json$|\.[a-z]+$/.exec(path)![0];
    const own = path.startsWith(`${entry.path}/`) ? path.slice(entry.path.length + 1) : "";
    const from =
      names.find((one) => one === own) ?? names.find((one) => one.endsWith(ending) && one !== "library.json");
    if (from === undefined) continue;
    const bytes = readFileSync(join(folder, from));
    files[path] = from.endsWith(".json") ? Buffer.from(edit(bytes.toString())) : bytes;
  }
  hub.add(entry.repo, files);
  return name;
}

/** A checkpoint in Qwen Scope's layout: W_enc [m, d], W_dec [d, m], b_enc [m], b_dec [d]. */
function qwenBytes(d: number, m: number): Uint8Array {
  const shapes = { W_enc: [m, d], W_dec: [d, m], b_enc: [m], b_dec: [d] };
  const entries = Object.entries(shapes).map(([name, shape], key) => {
    const values = Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i + 10 * key));
    const strides = shape.length === 1 ? [1] : [shape[1]!, 1];
    return {
      name,
      key: String(key),
      tensor: tensorBytes({ key: String(key), shape, strides }),
      bytes: float32Bytes(...values),
    };
  });
  return checkpointBytes(
    pickleBytes(new Map(entries.map(({ name, tensor }) => [name, tensor]))),
    Object.fromEntries(entries.map(({ key, bytes }) => [key, bytes])),
  );
}

const GEMMA = "gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical";
const GEMMA_ID = "gemma-scope-2b-pt-res-canonical-layer_12-width_16k-canonical";
const GEMMA_WEIGHTS = "layer_12/width_16k/average_l0_82/params.npz";
const publishGemma = () => publish(GEMMA, "gemma-scope-1/layer_3/width_16k/average_l0_7");

describe("a name of the registry", () => {
  it.each([
    [GEMMA, "gemma-scope-1/layer_3/width_16k/average_l0_7", "jumprelu", "autoencoder"],
    [
      "gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76",
      "gemma-scope-1-transcoders/layer_3/width_16k/average_l0_8",
      "jumprelu",
      "transcoder",
    ],
    [
      "gemma-scope-2-1b-pt-res/layer_13_width_16k_l0_big",
      "gemma-scope-2/resid_post/layer_4_width_16k_l0_small",
      "jumprelu",
      "autoencoder",
    ],
    [
      "gemma-scope-2-1b-pt-transcoders-all/layer_0_width_16k_l0_small_affine",
      "gemma-scope-2/transcoder/layer_3_width_16k_l0_small_affine",
      "jumprelu",
      "transcoder",
    ],
    ["gpt2-small-res-jb/blocks.8.hook_resid_pre", "sae-lens-standard", "relu", "autoencoder"],
    ["llama-3-8b-it-res-jh/blocks.25.hook_resid_post", "sae-lens-gated", "gated", "autoencoder"],
    [
      "sae_bench_pythia70m_sweep_gated_ctx128_0730/blocks.3.hook_resid_post__trainer_0",
      "dictionary-learning-gated",
      "gated",
      "autoencoder",
    ],
    ["llama_scope_lxr_8x/l3r_8x", "llama-scope", "jumprelu", "autoencoder"],
    ["llama_scope_r1_distill/l0r_800m_slimpajama", "llama-scope-r1-distill", "jumprelu", "autoencoder"],
    ["mwhanna-qwen3-4b-transcoders/layer_3", "circuit-tracer-transcoder-relu", "relu", "transcoder"],
    ["goodfire-llama-3.1-8b-instruct/layer_19", "goodfire", "relu", "autoencoder"],
    ["deepseek-r1-distill-llama-8b-qresearch/blocks.19.hook_resid_post", "deepseek-r1", "relu", "autoencoder"],
    ["gpt2-small-hook-z-kk/blocks.3.hook_z", "connor-rob-hook-z", "relu", "autoencoder"],
  ])("%s is fetched and imported", async (name, fixture, kind, role) => {
    publish(name, fixture);
    const entry = registry.find(name)!;
    const { code, stdout, stderr } = await pull([name, "--id", "pulled"]);
    expect([code, stdout, stderr]).toEqual([0, expect.stringContaining("Written to"), expect.any(String)]);
    expect(manifestOf("pulled")).toMatchObject({
      kind,
      role,
      provenance: {
        release: entry.release,
        sae_id: entry.id,
        repo_id: entry.repo,
        repo_path: entry.path,
        revision: COMMIT,
        convention: "SAELens",
        layer: expect.any(Number) as number,
        hook_name: expect.any(String) as string,
        ...(entry.neuronpedia !== undefined && { neuronpedia_id: entry.neuronpedia }),
      },
    });
    expect(stdout).not.toContain("The registry lists it as");
  });

  it("fetches the files that the layout needs, and no other", async () => {
    publishGemma();
    await pull([GEMMA]);
    const contents = hub.asked.filter(({ path }) => path.includes("/resolve/"));
    expect(contents.map(({ path }) => path)).toEqual([
      `/google/gemma-scope-2b-pt-res/resolve/${COMMIT}/${GEMMA_WEIGHTS}`,
    ]);
    expect(readdirSync(models)).toEqual([GEMMA_ID]);
  });

  it("takes k from the name of Qwen Scope's repository", async () => {
    const entry = registry.find("qwen-scope-3-1.7b-base-w32k-l50/layer3")!;
    hub.add(entry.repo, { [entry.path]: qwenBytes(4, 64) });
    const { code, stdout } = await pull([entry.name, "--id", "qwen"]);
    expect([code, stdout]).toEqual([0, expect.stringContaining("Written to")]);
    expect(manifestOf("qwen")).toMatchObject({ kind: "topk", encoder: { k: 50, rectify: true } });
  });

  it("is one layer of a cross-layer transcoder, as circuit-tracer reads it", async () => {
    const entry = registry.find("mntss-gemma-2-2b-2.5m-clt-as-per-layer/layer_1")!;
    const folder = fileURLToPath(new URL("../fixtures/published/cross-layer-transcoder-threshold/", import.meta.url));
    const names = readdirSync(folder).filter((name) => name.startsWith("W_"));
    hub.add(entry.repo, Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name))])));
    const { code, stdout } = await pull([entry.name, "--id", "layer"]);
    expect([code, stdout]).toEqual([0, expect.stringContaining("Written to")]);
    expect(hub.asked.filter(({ to }) => to === "cdn").map(({ path }) => path.split("/").at(-1))).toEqual([
      "W_enc_1.safetensors",
      "W_dec_1.safetensors",
    ]);
    expect(manifestOf("layer")).toMatchObject({
      kind: "jumprelu",
      role: "transcoder",
      provenance: { convention: "circuit-tracer", layer: 1 },
    });
  });

  it("folds a registered factor where cfg.json expects one", async () => {
    const name = "gemma-2b-res-jb/blocks.12.hook_resid_post";
    const { normFactor } = registry.find(name)!;
    publish(name, "sae-lens-standard", (text) =>
      text.replace('"normalize_activations": "none"', '"normalize_activations": "expected_average_only_in"'),
    );
    await pull([name, "--id", "scaled"]);
    publish("gemma-2b-res-jb/blocks.0.hook_resid_post", "sae-lens-standard");
    await pull(["gemma-2b-res-jb/blocks.0.hook_resid_post", "--id", "plain"]);
    const [scaled, plain] = await Promise.all(
      ["scaled", "plain"].map(
        async (id) => (await loadWeights(join(models, id), await readManifest(join(models, id)))).weights,
      ),
    );
    // The registry's own figure: an answer far outside it carries a warning.
    expect(manifestOf("plain").provenance).toMatchObject({ held_out: [{ atoms: 47, explained_variance: 0.999 }] });
    expect(manifestOf("scaled").provenance).not.toHaveProperty("held_out");
    expect(scaled!.atoms[5]).toBeCloseTo(plain!.atoms[5]! / normFactor!, 6);
    expect(scaled!.center![2]).toBeCloseTo(plain!.center![2]! / normFactor!, 6);
    expect(scaled!.tensors!["encoder_weight"]![5]).toBeCloseTo(plain!.tensors!["encoder_weight"]![5]! * normFactor!, 6);
    expect(scaled!.tensors!["encoder_bias"]).toEqual(plain!.tensors!["encoder_bias"]);
  });

  itInFull("encodes rows as they are where no factor was published, as SAELens does, and says so", async () => {
    const name = "llama-3-8b-it-res-jh/blocks.25.hook_resid_post";
    publish(name, "sae-lens-gated", (text) => text.replace('"none"', '"expected_average_only_in"'));
    const { code, stdout } = await pull([name, "--id", "gated"]);
    expect([code, stdout]).toEqual([0, expect.stringContaining("nobody published")]);
    expect(manifestOf("gated").encoder).toMatchObject({ inputNorm: "none" });
  });

  itInFull("sets the registry's overrides over cfg.json, and names what the model needs", async () => {
    publish("mistral-7b-res-wg/blocks.8.hook_resid_pre", "sae-lens-standard");
    await pull(["mistral-7b-res-wg/blocks.8.hook_resid_pre", "--id", "mistral"]);
    expect(manifestOf("mistral").encoder).toMatchObject({ inputNorm: "constant_norm_rescale" });
    publish("gpt2-small-res-jb/blocks.8.hook_resid_pre", "sae-lens-standard");
    const { stdout } = await pull(["gpt2-small-res-jb/blocks.8.hook_resid_pre", "--id", "gpt2"]);
    expect(stdout).toContain('Rows must come from a model loaded with {"center_writing_weights":true}');
  });

  itInFull("prints a kind that is another than the registry's, which the files decide", async () => {
    publish("gpt2-small-res-jb/blocks.8.hook_resid_pre", "sae-lens-jumprelu");
    const { code, stdout } = await pull(["gpt2-small-res-jb/blocks.8.hook_resid_pre", "--id", "other"]);
    expect([code, stdout]).toEqual([
      0,
      expect.stringContaining("The registry lists it as relu; the files say jumprelu"),
    ]);
  });

  it("that is unknown is answered with the nearest names", async () => {
    const { code, stderr } = await pull([GEMMA.replace("canonical/", "cannonical/")]);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`  ${GEMMA}\n`)]);
    expect(hub.asked).toEqual([]);
  });

  it("of a kind that is not served is refused before anything is fetched", async () => {
    const { code, stderr } = await pull(["temporal-sae-gemma-2-2b/blocks.12.hook_resid_post"]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/not served: .*rows before each row.*Encode it with SAELens/),
    ]);
    expect(hub.asked).toEqual([]);
  });

  it("whose id is taken is refused before anything is fetched, and replaced with --force", async () => {
    publishGemma();
    mkdirSync(join(models, "taken"));
    const refused = await pull([GEMMA, "--id", "taken"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("exists already")]);
    expect(hub.asked).toEqual([]);
    expect((await pull([GEMMA, "--id", "taken", "--force"])).code).toBe(0);
    expect(manifestOf("taken").kind).toBe("jumprelu");
  });

  it("fetches nothing with --dry-run, and names the files", async () => {
    publishGemma();
    const { code, stdout } = await pull([GEMMA, "--dry-run"]);
    expect([code, stdout]).toEqual([0, expect.stringContaining(GEMMA_WEIGHTS)]);
    expect([everything(models), everything(cache)]).toEqual([[], []]);
  });
});

describe("hf://", () => {
  const bytes = (fixture: string, file: string): Uint8Array => readFileSync(join(FIXTURES, fixture, file));
  const saeLens = () => ({
    "cfg.json": bytes("sae-lens-jumprelu", "cfg.json"),
    "sae_weights.safetensors": bytes("sae-lens-jumprelu", "sae_weights.safetensors"),
    "optimizer.pt": Buffer.from("not asked for"),
  });
  const within = (folder: string, files: Readonly<Record<string, Uint8Array>>) =>
    Object.fromEntries(Object.entries(files).map(([name, content]) => [`${folder}/${name}`, content]));

  it.each([
    ["hf://me/mine", saeLens(), "mine"],
    ["hf://me/mine@v1/a/b", within("a/b", saeLens()), "mine-a-b"],
    ["hf://me/mine/a/sae_weights.safetensors", within("a", saeLens()), "mine-a-sae_weights"],
    [
      "hf://me/mine/x",
      {
        "x/hyperparams.json": bytes("llama-scope", "hyperparams.json"),
        "x/checkpoints/final.safetensors": bytes("llama-scope", "checkpoints/final.safetensors"),
      },
      "mine-x",
    ],
    [
      "hf://me/mine-transcoders/layer_3.safetensors",
      {
        "layer_3.safetensors": bytes("circuit-tracer-transcoder-relu", "layer_3.safetensors"),
        "layer_4.safetensors": Buffer.from(""),
      },
      "mine-transcoders-layer_3",
    ],
  ])("%s is recognised by the names of its files", async (name, files, id) => {
    hub.add(name.includes("mine-transcoders") ? "me/mine-transcoders" : "me/mine", files);
    const { code, stderr } = await pull([name]);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(readdirSync(models)).toEqual([id]);
    expect(manifestOf(id).provenance).toMatchObject({ revision: COMMIT });
    expect(hub.asked.filter(({ path }) => path.includes("optimizer"))).toEqual([]);
  });

  it("takes import's flags, which the files lack", async () => {
    hub.add("me/mine", { "layer3.sae.pt": bytes("qwen-scope", "layer3.sae.pt") });
    const lacking = await pull(["hf://me/mine/layer3.sae.pt"]);
    expect([lacking.code, lacking.stderr]).toEqual([1, expect.stringContaining("--k <n>")]);
    expect(everything(models)).toEqual([]);
    expect((await pull(["hf://me/mine/layer3.sae.pt", "--k", "9", "--id", "nine"])).code).toBe(0);
    expect(manifestOf("nine").encoder).toMatchObject({ k: 9 });
  });

  it.each([
    ["hf://me/mine/none", "holds no none. me/mine holds"],
    ["hf://me/mine@v2/a", "no such revision"],
    ["hf://me/other/a", "does not exist, or is private"],
    ["hf://me/several", "holds 2 weights files. Name one of them: one.pt, two.pt"],
  ])("%s is refused with the way on", async (name, expected) => {
    hub.add("me/mine", saeLens());
    hub.add("me/several", { "one.pt": Buffer.from("1"), "two.pt": Buffer.from("2") });
    const { code, stderr } = await pull([name]);
    expect([code, stderr]).toEqual([1, expect.stringContaining(expected)]);
    expect(everything(models)).toEqual([]);
  });
});

describe("a token", () => {
  const TOKEN = "hf_abcdefghijklmnopqrstuvwxyz012345";
  const gated = () => {
    publishGemma();
    hub.add(
      "google/gemma-scope-2b-pt-res",
      { [GEMMA_WEIGHTS]: readFileSync(join(FIXTURES, "gemma-scope-1/layer_3/width_16k/average_l0_7/params.npz")) },
      { token: TOKEN, gated: true },
    );
  };

  it("opens a gated repository, and goes to the hub only", async () => {
    gated();
    const { code, stdout, stderr } = await pull([GEMMA], { HF_TOKEN: TOKEN });
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(stdout + stderr).not.toContain(TOKEN);
    const [toHub, toCdn] = ["hub", "cdn"].map((to) =>
      hub.asked.filter((one) => one.to === to).map((one) => one.authorization),
    );
    expect(new Set(toHub)).toEqual(new Set([`Bearer ${TOKEN}`]));
    expect(new Set(toCdn)).toEqual(new Set([undefined]));
    for (const path of everything(cache)) {
      const file = join(cache, path);
      if (statSync(file).isFile()) expect(readFileSync(file, "latin1")).not.toContain(TOKEN);
    }
  });

  it("that is missing is asked for, with the page of the terms", async () => {
    gated();
    const { code, stderr } = await pull([GEMMA]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`accept its terms at ${hub.endpoint}/google/gemma-scope-2b-pt-res`),
    ]);
    expect(stderr).toContain("HF_TOKEN");
  });

  itInFull("without access is told so, and not shown", async () => {
    gated();
    const other = "hf_othertokenofsomebodyelse000000000";
    const { code, stdout, stderr } = await pull([GEMMA], { HF_TOKEN: other });
    expect([code, stderr]).toEqual([1, expect.stringContaining("has no access to it")]);
    expect(stdout + stderr).not.toContain(other);
  });
});

describe("a download", () => {
  const weights = () => readFileSync(join(FIXTURES, "gemma-scope-1/layer_3/width_16k/average_l0_7/params.npz"));
  const ranges = () => hub.asked.filter(({ to }) => to === "cdn").map(({ range }) => range);

  it("is made by one command at a time, and taken over from one that was killed", async () => {
    publishGemma();
    hub.mishap(GEMMA_WEIGHTS, { kind: "stall", after: 700 });
    const first = spawn(process.execPath, [CLI, "pull", GEMMA], {
      env: { ...process.env, ...settings() },
      stdio: "ignore",
    });
    const ended = once(first, "exit");
    const blobs = join(cache, "models--google--gemma-scope-2b-pt-res", "blobs");
    await until(() =>
      everything(blobs).some((name) => name.endsWith(".incomplete") && statSync(join(blobs, name)).size > 0),
    );
    const second = await pull([GEMMA]);
    expect([second.code, second.stderr]).toEqual([
      1,
      expect.stringContaining(`Process ${first.pid} fetches ${GEMMA_WEIGHTS} now`),
    ]);
    first.kill("SIGKILL");
    await ended;
    const third = await pull([GEMMA]);
    expect([third.code, third.stderr]).toEqual([0, expect.stringMatching(/fetching .* from byte [1-9]/)]);
    expect(everything(blobs)).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
  });

  it("that is cut goes on from its last byte", async () => {
    publishGemma();
    hub.mishap(GEMMA_WEIGHTS, { kind: "cut", after: 1000 }, { kind: "cut", after: 500 });
    const { code, stderr } = await pull([GEMMA]);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(ranges()).toHaveLength(3);
    expect(ranges()[0]).toBeUndefined();
    expect(ranges().slice(1)).toEqual([expect.stringMatching(/^bytes=[1-9]/), expect.stringMatching(/^bytes=[1-9]/)]);
  });

  it("of a command that ended goes on in the next one", async () => {
    publishGemma();
    hub.mishap(
      GEMMA_WEIGHTS,
      { kind: "cut", after: 1000 },
      ...Array.from({ length: 6 }, () => ({ kind: "cut", after: 0 }) as const),
    );
    const cut = await pull([GEMMA]);
    expect([cut.code, cut.stderr]).toEqual([
      1,
      expect.stringMatching(/bytes came, and then none.*Run the command again/s),
    ]);
    expect(everything(models)).toEqual([]);
    hub.asked.length = 0;
    hub.mishap(GEMMA_WEIGHTS);
    const { code, stderr } = await pull([GEMMA]);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/fetching .* from byte [1-9]/)]);
    expect(ranges()).toEqual([expect.stringMatching(/^bytes=[1-9]/)]);
  });

  it("that drips is waited for, and one that falls silent is made anew", async () => {
    publishGemma();
    hub.mishap(GEMMA_WEIGHTS, { kind: "stall", after: 700 }, { kind: "drip", bytes: 50 });
    const { code, stderr } = await pull([GEMMA], { HF_HUB_DOWNLOAD_TIMEOUT: "0.5" });
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(ranges()).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]/)]);
  });

  itInFull("begins anew where the server does not continue files", async () => {
    publishGemma();
    hub.mishap(GEMMA_WEIGHTS, { kind: "cut", after: 1000 }, { kind: "no-range" });
    const { code, stderr } = await pull([GEMMA]);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(ranges().at(-1)).toBeUndefined();
  });

  it("with one wrong bit is refused, and nothing is kept", async () => {
    publishGemma();
    hub.mishap(GEMMA_WEIGHTS, { kind: "corrupt" });
    const { code, stderr } = await pull([GEMMA]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/params\.npz came with sha256 [0-9a-f]{64}; the hub announces/),
    ]);
    expect(everything(models)).toEqual([]);
    expect(everything(cache).filter((path) => /params|incomplete/.test(path))).toEqual([]);
    expect((await pull([GEMMA])).code).toBe(0);
  });

  itInFull("that continues another file is fetched anew", async () => {
    publishGemma();
    hub.mishap(GEMMA_WEIGHTS, { kind: "cut", after: 1000 }, { kind: "corrupt" });
    const { code, stderr } = await pull([GEMMA]);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(ranges()).toEqual([undefined, expect.stringMatching(/^bytes=/), undefined]);
  });

  it.each([
    ["longer", -1, /is longer than the \d+ bytes/],
    ["shorter", 1, /bytes came, and then none/],
  ])("that is %s than announced is refused", async (_, more, expected) => {
    const entry = registry.find(GEMMA)!;
    const content = weights();
    hub.add(
      entry.repo,
      { [GEMMA_WEIGHTS]: content },
      { announced: { [GEMMA_WEIGHTS]: { size: content.length + more } } },
    );
    const { code, stderr } = await pull([GEMMA]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(expected)]);
    expect(everything(models)).toEqual([]);
  });

  it("larger than the disk is refused with both numbers, before a byte is fetched", async () => {
    const entry = registry.find(GEMMA)!;
    hub.add(entry.repo, { [GEMMA_WEIGHTS]: weights() }, { announced: { [GEMMA_WEIGHTS]: { size: 2 ** 52 } } });
    const { code, stderr } = await pull([GEMMA]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/has .*B free, and this needs 9010 TB/)]);
    expect(ranges()).toEqual([]);
  });

  it("whose weights are written wider than they are fetched needs the room for that, too", async () => {
    const entry = registry.entries.find(({ layout }) => layout === "llama_scope")!;
    const names = [`${entry.path}/hyperparams.json`, `${entry.path}/checkpoints/final.safetensors`] as const;
    const files = { [names[0]]: Buffer.from("{}"), [names[1]]: weights() };
    hub.add(entry.repo, files, { announced: { [names[1]]: { size: 2 ** 52 } } });
    const { code, stderr } = await pull([entry.name]);
    // Fetched once, and written as float32 instead of bfloat16.
    expect([code, stderr]).toEqual([1, expect.stringMatching(/has .*B free, and this needs 13500 TB/)]);
  });

  it("is tried again after 503 and 429, and not after 404", async () => {
    publishGemma();
    hub.mishap(GEMMA_WEIGHTS, { kind: "status", status: 503 }, { kind: "status", status: 429 });
    expect((await pull([GEMMA])).code).toBe(0);
    expect(ranges()).toHaveLength(3);
    hub.asked.length = 0;
    hub.mishap(GEMMA_WEIGHTS, { kind: "status", status: 404 });
    const { code, stderr } = await pull([GEMMA, "--id", "again"], { HF_HUB_CACHE: join(cache, "other") });
    expect([code, stderr]).toEqual([1, expect.stringContaining("404")]);
    expect(ranges()).toHaveLength(1);
  });

  it("from a hub that is not there says where it looked", async () => {
    const { code, stderr } = await pull([GEMMA], { HF_ENDPOINT: "http://127.0.0.1:1" });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/No answer from http:\/\/127\.0\.0\.1:1: .*HF_ENDPOINT/)]);
  });

  itInFull("that import cannot read leaves no dictionary behind", async () => {
    const entry = registry.find(GEMMA)!;
    hub.add(entry.repo, { [GEMMA_WEIGHTS]: weights().subarray(0, 300) });
    const { code, stderr } = await pull([GEMMA]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("params.npz")]);
    expect(everything(models)).toEqual([]);
  });
});

describe("the cache", () => {
  it("has Hugging Face's own layout, and serves the second pull", async () => {
    publishGemma();
    await pull([GEMMA]);
    const repository = join(cache, "models--google--gemma-scope-2b-pt-res");
    expect(readFileSync(join(repository, "refs", "main"), "utf8")).toBe(COMMIT);
    expect(statSync(join(repository, "snapshots", COMMIT, GEMMA_WEIGHTS)).isFile()).toBe(true);
    expect(readdirSync(join(repository, "blobs"))).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
    hub.asked.length = 0;
    const { code, stdout } = await pull([GEMMA, "--id", "second"]);
    expect([code, stdout]).toEqual([0, expect.stringContaining("in the cache")]);
    expect(hub.asked.filter(({ path }) => path.includes("/resolve/"))).toEqual([]);
  });

  it("is all that HF_HUB_OFFLINE uses", async () => {
    publishGemma();
    const early = await pull([GEMMA], { HF_HUB_OFFLINE: "1" });
    expect([early.code, early.stderr]).toEqual([1, expect.stringContaining("HF_HUB_OFFLINE is set, and the cache")]);
    await pull([GEMMA]);
    hub.asked.length = 0;
    const { code, stderr } = await pull([GEMMA, "--id", "offline"], { HF_HUB_OFFLINE: "1" });
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    const byPath = await pull(["hf://google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82", "--id", "path"], {
      HF_HUB_OFFLINE: "1",
    });
    expect([byPath.code, byPath.stderr]).toEqual([0, expect.any(String)]);
    expect(hub.asked).toEqual([]);
  });

  itInFull("moves by HF_HOME and by --hub-cache", async () => {
    publishGemma();
    await pull([GEMMA], { HF_HUB_CACHE: "", HF_HOME: join(cache, "home") });
    expect(readdirSync(join(cache, "home", "hub"))).toEqual(["models--google--gemma-scope-2b-pt-res"]);
    await pull([GEMMA, "--id", "flag", "--hub-cache", join(cache, "flag")]);
    expect(readdirSync(join(cache, "flag"))).toEqual(["models--google--gemma-scope-2b-pt-res"]);
  });

  itInFull("keeps what another program put there", async () => {
    publishGemma();
    const snapshot = join(cache, "models--google--gemma-scope-2b-pt-res", "snapshots", COMMIT, GEMMA_WEIGHTS);
    mkdirSync(join(snapshot, ".."), { recursive: true });
    writeFileSync(snapshot, readFileSync(join(FIXTURES, "gemma-scope-1/layer_3/width_16k/average_l0_7/params.npz")));
    expect((await pull([GEMMA])).code).toBe(0);
    expect(hub.asked.filter(({ path }) => path.includes("/resolve/"))).toEqual([]);
  });
});
