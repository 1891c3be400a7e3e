import { defineConfig } from "vite";

// `npm run build:client` writes the package's files; its types come from the compiler.
export default defineConfig({
  publicDir: false,
  build: {
    lib: { entry: "client/index.ts", formats: ["es"], fileName: "index" },
    outDir: "client/dist",
    emptyOutDir: true,
    target: "es2022",
    minify: false,
  },
});
