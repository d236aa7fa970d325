// Takes the types out of the small TypeScript files of these tasks, for a Node.js that does not do so itself (before 22.18).
import { readFile } from "node:fs/promises";
import { register } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";

if (isMainThread) register(import.meta.url);

const DECLARATIONS = /^(export )?interface \w+ \{[^}]*\}/gm;
const ANNOTATIONS = /: (number|string|boolean|void|[A-Z]\w*)(\[\])*(?=[,)={ ])/g;

export async function load(url, context, next) {
  if (!url.endsWith(".ts")) return next(url, context);
  const text = await readFile(fileURLToPath(url), "utf8");
  const source = text.replace(DECLARATIONS, "").replace(ANNOTATIONS, "");
  return { format: "module", shortCircuit: true, source };
}
