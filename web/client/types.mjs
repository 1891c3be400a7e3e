/**
 * Makes the declarations of the package readable for every way in which a program may resolve modules: node client/types.mjs, the last
 * step of `npm run build:client`.
 *
 * The sources import each other as bundlers do, without an ending. Under `"moduleResolution": "nodenext"` TypeScript finds no such file
 * in a package, and everything that came from it was of type `any`.
 */

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const DIST = join(import.meta.dirname, "dist");

for (const name of readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".d.ts"))) {
  const path = join(DIST, name);
  writeFileSync(path, readFileSync(path, "utf8").replaceAll(/(from|import\() ?"(\.{1,2}\/[^"]+)"/g, '$1 "$2.js"'));
}
