// Tools from a schema and a function each; the function's types follow from the schema, so nothing
// is written twice. It knows nothing of WebAssembly, so tests import it as it is.

/** A JSON Schema that knows the type of what it describes. */
export interface Schema<T> {
    readonly json: Record<string, unknown>;
    readonly isOptional?: true;
    /** Never set: it carries the type. */
    readonly of?: T;
}

const schema = <T>(json: Record<string, unknown>): Schema<T> => ({ json });
export const string = (description?: string): Schema<string> =>
    schema({ type: "string", description });
export const number = (description?: string): Schema<number> =>
    schema({ type: "number", description });
export const integer = (description?: string): Schema<number> =>
    schema({ type: "integer", description });
export const boolean = (description?: string): Schema<boolean> =>
    schema({ type: "boolean", description });
export const oneOf = <const T extends string>(...values: T[]): Schema<T> =>
    schema({ enum: values });
export const list = <T>(of: Schema<T>): Schema<T[]> => schema({ type: "array", items: of.json });
export const optional = <T>(of: Schema<T>): Schema<T | undefined> & { isOptional: true } => ({
    json: of.json,
    isOptional: true,
});

type Fields = Record<string, Schema<unknown>>;
type Left<F extends Fields> = {
    [K in keyof F]: F[K] extends { isOptional: true } ? K : never;
}[keyof F];
/** The type that an object of these fields has. */
export type Of<F extends Fields> = {
    [K in Exclude<keyof F, Left<F>>]: F[K] extends Schema<infer T> ? T : never;
} & { [K in Left<F>]?: F[K] extends Schema<infer T> ? T : never };

export const object = <F extends Fields>(fields: F): Schema<Of<F>> =>
    schema({
        type: "object",
        properties: Object.fromEntries(
            Object.entries(fields).map(([name, field]) => [name, field.json]),
        ),
        required: Object.keys(fields).filter((name) => !fields[name].isOptional),
        additionalProperties: false,
    });

/** What a tool throws, and the caller reads: one sentence, by kind. */
export class ToolError extends Error {
    constructor(
        message: string,
        readonly kind: "failed" | "invalid-arguments" | "unavailable" = "failed",
    ) {
        super(message);
    }
}
/** An argument that passes the schema and still does not fit. */
export const invalid = (message: string) => new ToolError(message, "invalid-arguments");
/** What the tool depends on did not answer; later may help. */
export const unavailable = (message: string) => new ToolError(message, "unavailable");

/** What a tool is, beside its arguments and its result. */
interface About {
    /** What the tool does: a caller knows nothing else of it. */
    description: string;
    title?: string;
    /** It changes nothing outside. */
    readOnly?: boolean;
    /** It writes, and never removes or overwrites. */
    additive?: boolean;
    /** A second equal call changes nothing more. */
    idempotent?: boolean;
    /** It reaches other machines. */
    openWorld?: boolean;
}

export interface Tool extends About {
    input: Record<string, unknown>;
    output?: Record<string, unknown>;
    run(args: unknown): unknown;
}

/** A tool that answers with text, or with an object of the schema `returns`. */
export function tool<F extends Fields, R = string>(
    about: About & { parameters: F; returns?: Schema<R>; run(args: Of<F>): R },
): Tool {
    const { parameters, returns, run, ...rest } = about;
    return {
        ...rest,
        input: object(parameters).json,
        output: returns?.json,
        run: (args) => run(args as Of<F>),
    };
}

/** The catalogue. */
export function definitions(tools: Record<string, Tool>) {
    return Object.entries(tools).map(([name, tool]) => ({
        name,
        title: tool.title,
        description: tool.description,
        inputSchema: tool.input,
        outputSchema: tool.output,
        behaviour: {
            readOnly: !!tool.readOnly,
            destructive: !tool.readOnly && !tool.additive,
            idempotent: !!tool.idempotent,
            openWorld: !!tool.openWorld,
        },
    }));
}

export interface Answer {
    text?: string;
    value?: unknown;
    error?: { tag: string; val: string };
    trace?: string;
}

/** Calls a tool with the text of its arguments. An error is a value. */
export function call(tools: Record<string, Tool>, name: string, text: string): Answer {
    if (!Object.prototype.hasOwnProperty.call(tools, name)) {
        return { error: { tag: "unknown-tool", val: `there is no tool ${name}` } };
    }
    try {
        const result = tools[name].run(JSON.parse(text));
        return typeof result === "string"
            ? { text: result }
            : { text: JSON.stringify(result), value: result };
    } catch (error) {
        if (error instanceof ToolError) return { error: { tag: error.kind, val: error.message } };
        if (!(error instanceof Error)) return { error: { tag: "failed", val: String(error) } };
        const val = `${error.name}: ${error.message}`;
        return { error: { tag: "failed", val }, trace: error.stack };
    }
}
