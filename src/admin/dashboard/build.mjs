// Builds the dashboard into dist/: one script, one style sheet, one icon, and the page that names them by their content.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "dist");
/** The licences of what is bundled: they ask to go along. */
const bundled = ["preact", "@preact/signals", "@preact/signals-core", "uplot"].map((name) => {
  const folder = join(here, "node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `${name} ${version}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").replaceAll("\r", "").trim()}`;
});
const built = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  outdir: out,
  bundle: true,
  minify: true,
  write: false,
  format: "esm",
  target: ["es2022"],
  legalComments: "none",
  banner: { js: `/*!\n${bundled.join("\n\n")}\n*/` },
  charset: "utf8",
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
});
mkdirSync(out, { recursive: true });
const files = new Map(built.outputFiles.map((file) => [file.path.split("/").pop(), Buffer.from(file.contents)]));
files.set("icon.svg", readFileSync(join(here, "src/icon.svg")));
const hash = createHash("sha256");
for (const name of [...files.keys()].sort()) hash.update(name).update(files.get(name));
const assets = `/assets/${hash.digest("hex").slice(0, 16)}`;
files.set("index.html", Buffer.from(readFileSync(join(here, "src/index.html"), "utf8").replaceAll("/assets", assets)));
for (const [name, content] of files) {
  writeFileSync(join(out, name), content);
  console.log(`${name.padEnd(12)}${String(content.length).padStart(8)} B`);
}
