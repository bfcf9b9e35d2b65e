// Holds custom resources to the schemas that their projects publish (as the packages of kubernetes-models carry them): values by ajv, and
// fields that do not exist by TypeScript, because the schemas let those pass.
// Arguments: a file with a list of manifests, and a folder with the packages, which takes a file to compile.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGES = {
  "monitoring.coreos.com/v1": "prometheus-operator",
  "argoproj.io/v1alpha1": "argo-rollouts",
  "cert-manager.io/v1": "cert-manager",
};
const [listed, folder] = process.argv.slice(2);
const manifests = JSON.parse(readFileSync(listed, "utf8"));

const lines = [];
for (const [at, manifest] of manifests.entries()) {
  const { apiVersion, kind } = manifest;
  const place = `@kubernetes-models/${PACKAGES[apiVersion]}/${apiVersion}/${kind}`;
  // Some of the packages have their modules for import beside those for require.
  const file = [".mjs", ".js"].map((end) => join(folder, "node_modules", place + end)).find(existsSync);
  const model = (await import(pathToFileURL(file).href))[kind];
  new model(manifest).validate();
  lines.push(`import type { I${kind} as Kind${at} } from "${place}";`, `export const manifest${at}: Kind${at} = ${JSON.stringify(manifest, null, 1)};`);
}
writeFileSync(join(folder, "manifests.ts"), lines.join("\n"));
const compiler = join(folder, "node_modules/.bin/tsc");
try {
  execFileSync(compiler, ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext", "manifests.ts"], { cwd: folder });
} catch (failed) {
  console.error(String(failed.stdout));
  process.exit(1);
}
const kinds = [...new Set(manifests.map((manifest) => manifest.kind))].sort();
console.log(`custom resources: ${manifests.length} as their projects' schemas want them (${kinds.join(", ")})`);
