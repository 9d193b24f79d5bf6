// Between the contract and the tools: made by `aos-host build`.
import "./console.js";
import * as source from "SOURCE";
import { call, definitions } from "LIBRARY";

const all = source.default;

export const tools = {
    definitions() {
        return definitions(all).map((tool) => ({
            ...tool,
            inputSchema: JSON.stringify(tool.inputSchema),
            outputSchema: tool.outputSchema && JSON.stringify(tool.outputSchema),
        }));
    },
    call(name, text) {
        const answer = call(all, name, text);
        if (answer.error) {
            if (answer.trace) console.error(answer.trace);
            throw answer.error;
        }
        return {
            content: [{ tag: "text", val: answer.text }],
            structured: answer.value === undefined ? undefined : JSON.stringify(answer.value),
        };
    },
};
