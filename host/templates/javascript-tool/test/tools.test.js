import assert from "node:assert/strict";
import test from "node:test";

import { call, definitions } from "../src/aos.js";
import tools from "../src/tools.js";

const run = (name, input) => call(tools, name, JSON.stringify(input));

test("words are counted", () => {
    const answer = run("count_words", { text: "to be or not to be" });
    assert.deepEqual(answer.value, { words: 6, distinct: 4 });
});

test("a limit of nothing is an invalid argument", () => {
    const answer = run("count_words", { text: "a", letters_max: 0 });
    assert.equal(answer.error.tag, "invalid-arguments");
});

test("the catalogue has what a caller needs", () => {
    const [definition] = definitions(tools);
    assert.deepEqual(definition.inputSchema.required, ["text"]);
});
