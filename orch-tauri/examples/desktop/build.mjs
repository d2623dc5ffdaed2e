// Bundles the page into `ui/main.js`, which is committed: building the app needs no npm.
import { build } from "esbuild";
import { fileURLToPath } from "node:url";

await build({
  entryPoints: [fileURLToPath(new URL("page/main.ts", import.meta.url))],
  outfile: fileURLToPath(new URL("ui/main.js", import.meta.url)),
  bundle: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  logLevel: "warning",
});
