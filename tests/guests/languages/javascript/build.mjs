// node build.mjs WIT OUT, where @bytecodealliance/componentize-js is installed.
import { readFile, writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [witPath, out] = process.argv.slice(2);
const source = await readFile(new URL("app.js", import.meta.url), "utf8");
const { component } = await componentize(source, { witPath, worldName: "languages" });
await writeFile(out, component);
