/** The page reads every field that the server sends. What it does not read is listed here with the reason. */

import { isInterfaceDeclaration, isPropertySignatureDeclaration } from "typescript/unstable/ast/is";
import { API } from "typescript/unstable/sync";
import { expect, it } from "vitest";

const UNREAD: Readonly<Record<string, string>> = {
  "FaceBox.score": "How sure the detector is of a box helps nobody on the page to judge an answer. Saved sessions keep it.",
};

// A URL has the spaces and umlauts of a path encoded.
const WEB = decodeURIComponent(new URL("..", import.meta.url).pathname);
const GENERATED = `${WEB}src/wire/generated.ts`;

it("reads every field of every event", () => {
  const api = new API({ cwd: WEB });
  const project = api.updateSnapshot({ openProjects: [`${WEB}tsconfig.json`] }).getProject(`${WEB}tsconfig.json`);
  const generated = project?.program.getSourceFile(GENERATED);
  if (project === undefined || generated === undefined) throw new Error("the project does not open");
  const sources = project.program.getSourceFileNames().filter((name) => name.startsWith(`${WEB}src/`) && name !== GENERATED);
  const unread = generated.statements.filter(isInterfaceDeclaration).flatMap((type) =>
    type.members.filter(isPropertySignatureDeclaration).flatMap(({ name }) => {
      const symbol = project.checker.getSymbolAtLocation(name);
      if (symbol === undefined) throw new Error(`${type.name.text} has a field without a symbol`);
      // What tells the types of a union apart belongs to the union for the checker.
      const used = symbol.name === "type" || sources.some((source) => project.checker.getReferencesToSymbolInFile(source, symbol).length > 0);
      return used ? [] : [`${type.name.text}.${symbol.name}`];
    }),
  );
  api.close();
  expect(unread).toEqual(Object.keys(UNREAD));
});
