import { defineConfig } from "vitepress";

const page = (text, link) => ({ text, link });

/** GitHub's anchors, which the repository's links are written for. */
const slugify = (heading) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(" ", "-");

export default defineConfig({
  title: "Pursuit",
  description: "HTTP inference server for sparse dictionaries",
  srcDir: "source",
  cleanUrls: false,
  // Fails on a link to a page that is not there.
  ignoreDeadLinks: false,
  markdown: { anchor: { slugify } },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [{ text: process.env.SITE_VERSION ?? "dev", items: [{ text: "Other versions", link: "../versions.html", target: "_self" }] }],
    sidebar: [
      { text: "Start", items: [page("Overview", "/"), page("Your own dictionary", "/docs/import"), page("Published dictionaries", "/docs/published"), page("From Python", "/docs/python"), page("Sentences", "/docs/sentences")] },
      { text: "Use", items: [page("Algorithm", "/docs/algorithm"), page("Budgets", "/docs/budgets"), page("Formats on the wire", "/docs/wire"), page("Steering", "/docs/steering"), page("Transfer", "/docs/transfer"), page("Orthogonal pursuit", "/docs/orthogonal"), page("Pursuit over a decoder", "/docs/pursuit-over-decoder"), page("Open Inference Protocol", "/docs/open-inference-protocol"), page("Errors", "/docs/errors")] },
      { text: "Run", items: [page("Operations", "/docs/operations"), page("Kubernetes", "/docs/kubernetes"), page("Load balancing", "/docs/load-balancing"), page("Capacity", "/docs/capacity"), page("Runbook", "/docs/runbook"), page("Load testing", "/docs/load-testing"), page("Security", "/SECURITY")] },
      { text: "Inside", items: [page("Architecture", "/docs/architecture"), page("Evidence", "/docs/evidence"), page("Benchmarks", "/docs/benchmarks"), page("Decisions", "/docs/decisions/"), page("Changes", "/CHANGELOG")] },
    ],
  },
});
