import { defineConfig } from "vite";

export default defineConfig({
  // Relative addresses: the page also works behind the path of a proxy.
  base: "./",
  logLevel: "error",
  build: {
    outDir: "../dist/ui",
    emptyOutDir: true,
    assetsDir: "ui",
    // A strict content security policy takes no data: fonts, and scripts need no polyfill.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: {
    proxy: { "/v1": "http://127.0.0.1:8080", "/metrics": "http://127.0.0.1:8080", "/health": "http://127.0.0.1:8080" },
  },
});
