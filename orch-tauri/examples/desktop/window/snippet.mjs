// The documented snippet, as a script that a driver can run in a page.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** The TypeScript of SPEC.md, of which only the import differs. */
function documented() {
  const text = readFileSync(here("../../../../orch-runtime/tests/spec/SPEC.md"), "utf8");
  const [, snippet] = /```typescript\n([^]*?)```/.exec(text);
  const old = "'@tauri-apps/api/tauri'";
  if (!snippet.includes(old)) throw new Error("the snippet has another import");
  return snippet.replace(old, "'@tauri-apps/api/core'");
}

/** The snippet with what it needs; answers what it has got. @param {"plugin" | "plain"} form */
export async function snippet(form) {
  const { outputFiles } = await build({
    stdin: { contents: documented(), sourcefile: "spec.ts", resolveDir: here("."), loader: "ts" },
    plugins: form === "plugin" ? [prefixed] : [],
    bundle: true,
    format: "esm",
    target: "es2022",
    treeShaking: false,
    write: false,
  });
  return `${outputFiles[0].text}\nreturn { agent_id, stop_reason, metrics, depth, agents };`;
}

/** For the plugin, the snippet's `invoke` is one that adds the prefix. */
const prefixed = {
  name: "prefixed",
  setup(it) {
    it.onResolve({ filter: /^@tauri-apps\/api\/core$/ }, ({ importer }) =>
      importer.endsWith("prefixed.ts") ? undefined : { path: here("prefixed.ts") },
    );
  },
};
