// Tools from objects: a schema and a function each. It knows nothing of WebAssembly, so tests
// import it as it is.

/** What a tool throws, and the caller reads: one sentence, by kind. */
export class ToolError extends Error {
    /** @param {string} message @param {string} kind */
    constructor(message, kind = "failed") {
        super(message);
        this.kind = kind;
    }
}

/** An argument that passes the schema and still does not fit. @param {string} message */
export const invalid = (message) => new ToolError(message, "invalid-arguments");
/** What the tool depends on did not answer; later may help. @param {string} message */
export const unavailable = (message) => new ToolError(message, "unavailable");

/**
 * @typedef {object} Tool
 * @property {string} description What the tool does: a caller knows nothing else of it.
 * @property {Record<string, object>} parameters JSON Schema of each argument.
 * @property {string[]} [optional] The arguments that may be left out.
 * @property {object} [returns] JSON Schema of an object that `run` returns.
 * @property {boolean} [readOnly] It changes nothing outside.
 * @property {boolean} [additive] It writes, and never removes or overwrites.
 * @property {boolean} [idempotent] A second equal call changes nothing more.
 * @property {boolean} [openWorld] It reaches other machines.
 * @property {string} [title]
 * @property {(args: any) => unknown} run
 */

/** The catalogue. @param {Record<string, Tool>} tools */
export function definitions(tools) {
    return Object.entries(tools).map(([name, tool]) => {
        const optional = tool.optional ?? [];
        for (const left of optional) {
            if (!(left in tool.parameters)) throw new Error(`${name}: no parameter ${left}`);
        }
        return {
            name,
            title: tool.title,
            description: tool.description,
            inputSchema: {
                type: "object",
                properties: tool.parameters,
                required: Object.keys(tool.parameters).filter((key) => !optional.includes(key)),
                additionalProperties: false,
            },
            outputSchema: tool.returns,
            behaviour: {
                readOnly: !!tool.readOnly,
                destructive: !tool.readOnly && !tool.additive,
                idempotent: !!tool.idempotent,
                openWorld: !!tool.openWorld,
            },
        };
    });
}

/**
 * Calls a tool with the text of its arguments. An error is a value: `{ error, trace }`.
 * @param {Record<string, Tool>} tools @param {string} name @param {string} text
 */
export function call(tools, name, text) {
    if (!Object.hasOwn(tools, name)) {
        return { error: { tag: "unknown-tool", val: `there is no tool ${name}` } };
    }
    try {
        const result = tools[name].run(JSON.parse(text));
        if (typeof result === "string") return { text: result };
        if (result === undefined) return { text: "done" };
        const value = isObject(result) ? result : { result };
        return { text: JSON.stringify(result), value };
    } catch (error) {
        if (error instanceof ToolError) return { error: { tag: error.kind, val: error.message } };
        const val = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
        return { error: { tag: "failed", val }, trace: error?.stack };
    }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
