// An agent's processor, tools and memory as plain calls. It knows nothing of WebAssembly:
// `aos-host build` gives it the host, and a test gives it a script.

/** What answers: set by the build, or by a test. */
let host;
export const use = (other) => {
    host = other;
};

/** A tool could not do it, or was denied: `kind` says which. */
export class ToolError extends Error {
    constructor(kind, message) {
        super(message);
        this.kind = kind;
    }
}

/** The processor. */
export const model = {
    /**
     * One turn over the context: `{ text, calls, stop }`. It is in the context already.
     * @param {{ model?: string, maxOutputTokens?: number, tools?: string[] }} [options]
     */
    step: (options = {}) => host.step(options),
};

/** The tools that the agent holds, named as models see them: plugin__tool. */
export const toolbox = {
    names: () => host.tools(),
    /** Calls a tool: `{ text, value }`. Throws a ToolError. */
    call: (name, args = {}) => host.call(undefined, name, args),
    /** Does the calls of a turn, and puts what they gave, or why not, into the context. */
    answer(calls) {
        for (const call of calls) {
            try {
                host.result(call, host.call(call.id, call.name, call.arguments));
            } catch (error) {
                if (!(error instanceof ToolError)) throw error;
                host.result(call, undefined, error);
            }
        }
    },
};

/** The memory. What does not fit the model's window leaves it, and is still here. */
export const context = {
    /** Adds a page: system, task, user, assistant or note. */
    append: (kind, text, { importance = 0.5, label } = {}) =>
        host.append(kind, text, importance, label),
    /** The texts of the pages that matter most to the query, best first. */
    recall: (query, maxTokens = 1000) => host.recall(query, maxTokens),
};

/** A host for tests: a model that says these turns, and tools that are functions. */
export class Script {
    constructor(turns, tools = {}) {
        Object.assign(this, { turns: [...turns], functions: tools, pages: [] });
    }
    step() {
        const turn = this.turns.shift();
        return typeof turn === "string" ? { text: turn, calls: [], stop: "end-turn" } : turn;
    }
    tools() {
        return Object.keys(this.functions);
    }
    call(_id, name, args) {
        if (!Object.hasOwn(this.functions, name)) {
            throw new ToolError("unknown-tool", `there is no tool ${name}`);
        }
        const value = this.functions[name](args);
        return { text: typeof value === "string" ? value : JSON.stringify(value), value };
    }
    result(_call, result, error) {
        this.pages.push(["tool-result", result?.text ?? error.message]);
    }
    append(kind, text) {
        this.pages.push([kind, text]);
    }
    recall(query) {
        return this.pages.map(([, text]) => text).filter((text) => text.includes(query));
    }
}
