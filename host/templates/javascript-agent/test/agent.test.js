import assert from "node:assert/strict";
import test from "node:test";

import run from "../src/agent.js";
import { Script, use } from "../src/aos.js";

test("it uses a tool before it answers", () => {
    const calls = [{ id: "1", name: "weather__today", arguments: { city: "Oslo" } }];
    const turns = [{ text: "", calls, stop: "tool-use" }, "Take an umbrella."];
    const script = new Script(turns, { weather__today: ({ city }) => `rain in ${city}` });
    use(script);
    assert.equal(run("Do I need an umbrella in Oslo?"), "Take an umbrella.");
    assert.deepEqual(script.pages.at(-1), ["tool-result", "rain in Oslo"]);
});
