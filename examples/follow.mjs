// Follow a live session from JavaScript, and print every label.
//
//     (cd web && npm run build:client)
//     node examples/follow.mjs "http://localhost:8080/sessions/ID#KEY"
//
// The page gives you such an address under "Follow from a program". Node needs version 22 or later, for its WebSocket. In a project of
// your own, install the package (npm pack ./web/client) and import "emothinker-client".

import { follow } from "../web/client/dist/index.js";

for await (const event of follow(process.argv[2])) {
  if (event.type === "label") console.log(`${event.t.toFixed(2).padStart(7)} s  ${event.source.padEnd(5)}  ${event.label}`);
}
