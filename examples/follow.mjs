// Follow a live session from JavaScript, and print every label.
//
//     (cd web && npm run build:client)
//     node examples/follow.mjs "http://localhost:8080/sessions/ID#KEY"
//
// The page gives you such an address under "Follow from a program". Node needs version 22 or later, for its WebSocket. In a project of
// your own, install the package (npm pack ./web/client) and import "emothinker-client".

const built = new URL("../web/client/dist/index.js", import.meta.url);
const { follow } = await import(built).catch(() => {
  console.error("The client is not built. Build it once: (cd web && npm run build:client)");
  process.exit(1);
});
const [address] = process.argv.slice(2);
if (address === undefined) {
  console.error('Give the address of a session: node examples/follow.mjs "http://localhost:8080/sessions/ID#KEY"');
  process.exit(2);
}

try {
  for await (const event of follow(address)) {
    if (event.type === "label") console.log(`${event.t.toFixed(2).padStart(7)} s  ${event.source.padEnd(5)}  ${event.label}`);
  }
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
