import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";

/** Packages that a module and everything it imports needs, as written in src/. Types are not loaded. */
function packagesOf(entry: string): ReadonlySet<string> {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const [, types, name] of readFileSync(path, "utf8").matchAll(
      /^(?:import|export)( type)? (?:[^;"]*? from )?"([^"]+)";/gm,
    )) {
      if (types !== undefined) continue;
      if (name!.startsWith(".")) visit(join(dirname(path), name!));
      else if (!name!.startsWith("node:")) packages.add(name!.split("/")[0]!);
    }
  };
  visit(entry);
  return packages;
}

it("finds the packages behind relative imports", () => {
  expect(packagesOf("src/engine/dictionaries/manifest.ts")).toContain("typebox");
});

// A process a dictionary: typebox alone takes 0.2 s of CPU to import.
it("the session thread of a runtime process imports what ONNX needs and no schemas", () => {
  expect([...packagesOf("src/engine/runtime/process/session-worker.ts")]).toEqual(["onnxruntime-node", "@bufbuild"]);
});
