// Between the contract and the agent: made by `aos-host build`.
import "./console.js";
import * as model from "aos:agent/model@0.1.0";
import * as context from "aos:agent/context@0.1.0";
import * as toolbox from "aos:tool/toolbox@0.1.0";
import { ToolError, use } from "LIBRARY";
import main from "SOURCE";

// A result's error arrives as what was thrown, or as its payload.
const payload = (thrown) => thrown?.payload ?? thrown;
const sentence = (error) => {
    if (error instanceof Error) return error.message;
    const val = error?.val ?? error?.tag ?? error;
    if (Array.isArray(val)) return val[1];
    return typeof val === "string" ? val : val?.remedy ?? String(error?.tag ?? val);
};
const told = (call) => {
    try {
        return call();
    } catch (thrown) {
        const error = payload(thrown);
        throw error instanceof Error ? error : new Error(sentence(error));
    }
};
const text = (val) => [{ tag: "content", val: { tag: "text", val } }];

use({
    step({ model: name, maxOutputTokens, tools }) {
        const completion = told(() =>
            model.step({
                model: name,
                maxOutputTokens,
                reasoningTokensMax: undefined,
                temperature: undefined,
                tools,
                ownTools: [],
                toolChoice: { tag: "auto" },
                parallelToolCalls: undefined,
                responseSchema: undefined,
                stopSequences: [],
                timeoutMs: undefined,
                extra: [],
            }),
        );
        const of = (tag) => completion.parts.filter((part) => part.tag === tag);
        const said = of("content").filter(({ val }) => val.tag === "text");
        return {
            text: said.map(({ val }) => val.val).join(""),
            calls: of("tool-call").map(({ val }) => ({
                id: val.id,
                name: val.name,
                arguments: JSON.parse(val.arguments || "{}"),
            })),
            stop: completion.stop.tag,
        };
    },
    tools: () => toolbox.definitions().map(({ name }) => name),
    call(callId, name, args) {
        let output;
        try {
            const invocation = { callId, name, arguments: JSON.stringify(args), timeoutMs: undefined };
            output = toolbox.call(invocation);
        } catch (thrown) {
            const wit = payload(thrown);
            throw Object.assign(new ToolError(wit?.tag ?? "failed", sentence(wit)), { wit });
        }
        const said = output.content.filter(({ tag }) => tag === "text").map(({ val }) => val);
        const value = output.structured === undefined ? undefined : JSON.parse(output.structured);
        return { text: said.join("\n"), value, wit: output };
    },
    result(call, result, error) {
        const failed = () => error.wit ?? { tag: "failed", val: error.message };
        const outcome = error ? { tag: "err", val: failed() } : { tag: "ok", val: result.wit };
        const part = { tag: "tool-result", val: { callId: call.id, outcome } };
        told(() => context.append("tool-result", [part], 0.5, undefined));
    },
    append: (kind, val, importance, label) =>
        told(() => context.append(kind, text(val), importance, label)),
    recall: (query, maxTokens) =>
        told(() => context.recall(query, maxTokens)).map(([, found]) => found),
});

export const program = {
    run(task) {
        try {
            return String(main(task));
        } catch (error) {
            console.error(error);
            throw error instanceof Error ? `${error.name}: ${error.message}` : String(error);
        }
    },
};
