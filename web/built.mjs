/**
 * Writes what the page was built from into it: node built.mjs, the last step of `npm run build`.
 * `realtime/serve/page_build.py` computes the same and compares.
 */

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";

const WEB = import.meta.dirname;
const FOLDERS = ["src", "public"];
const FILES = ["index.html", "watch.html", "overlay.html", "package-lock.json", "vite.config.ts"];

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

const inFolders = FOLDERS.flatMap((folder) =>
  readdirSync(join(WEB, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name).split(sep).join("/"))
    .filter((name) => statSync(join(WEB, name)).isFile()),
);
// By code points, as Python sorts; the names are ASCII.
const names = [...FILES, ...inFolders].toSorted((a, b) => (a < b ? -1 : 1));
const sources = sha256(names.map((name) => `${name}\0${sha256(readFileSync(join(WEB, name)))}\n`).join(""));
const wire = sha256(readFileSync(join(WEB, "src/wire/generated.ts")));
writeFileSync(join(WEB, "../realtime/web_dist/built.json"), `${JSON.stringify({ sources, wire })}\n`);
