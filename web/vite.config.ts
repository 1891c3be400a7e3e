/// <reference types="vitest/config" />
import { defineConfig } from "vite";

// The server sends the same policy as a header; in the page it also holds behind a proxy that drops headers.
// Development needs inline styles for hot reloading, so the built page alone carries it.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; connect-src 'self'; " +
  "manifest-src 'self'; base-uri 'none'; form-action 'none'";

/** `npm run dev` serves the page with hot reloading and passes the rest on to a `realtime serve` at this address. */
const SERVER = "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [
    {
      name: "content-security-policy",
      apply: "build",
      transformIndexHtml: () => [
        { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: POLICY }, injectTo: "head-prepend" },
      ],
    },
  ],
  // Relative, so that the page also works under a path of a proxy.
  base: "./",
  build: {
    rolldownOptions: { input: ["index.html", "watch.html", "overlay.html"] },
    outDir: "../realtime/web_dist",
    emptyOutDir: true,
    target: "es2022",
    // An inlined file would be a data: address, which the policy refuses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      "/whip": SERVER,
      "/api": SERVER,
      "/sessions": { target: SERVER, ws: true },
    },
  },
  // A machine that is busy with something else takes its time.
  test: { include: ["test/**/*.test.ts"], testTimeout: 120_000 },
});
