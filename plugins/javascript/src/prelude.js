// What code finds besides the language: console, files, stdin. It returns how a value is told.
((natives, input) => {
    "use strict";
    const { stringify } = JSON;
    const { isArray } = Array;
    const { isFinite } = Number;
    const DEPTH_MAX = 64;
    const { toWellFormed } = String.prototype;
    const { apply } = Reflect;

    // Half of a surrogate pair is a character here, and in no UTF-8.
    const clean = (text) => apply(toWellFormed, String(text), []);

    // The value as JSON has it; throws where JSON has no such value.
    const plain = (value, depth) => {
        if (depth > DEPTH_MAX) throw new RangeError("too deep");
        if (value === null || typeof value === "boolean") return value;
        if (typeof value === "string") return clean(value);
        if (typeof value === "number" && isFinite(value)) return value;
        if (typeof value !== "object") throw new TypeError("JSON has no such value");
        if (typeof value.toJSON === "function") return plain(value.toJSON(), depth + 1);
        if (isArray(value)) return value.map((item) => plain(item, depth + 1));
        const prototype = Object.getPrototypeOf(value);
        if (prototype !== null && prototype !== Object.prototype) throw new TypeError("an object of a class");
        const object = Object.create(null);
        for (const key of Object.keys(value)) {
            if (value[key] !== undefined) object[clean(key)] = plain(value[key], depth + 1);
        }
        return object;
    };

    // As a reader sees it: text as it is, JSON where there is one.
    const show = (value, depth = 0) => {
        try {
            if (typeof value === "string") return depth ? stringify(value) : value;
            if (typeof value === "bigint") return `${value}n`;
            if (typeof value === "function") return `[function ${value.name || "without a name"}]`;
            if (typeof value !== "object" || value === null) return String(value);
            if (value instanceof Error) return String(value);
            if (depth > 4) return "…";
            const inside = (item) => show(item, depth + 1);
            const pairs = (all, arrow) => all.map(([key, item]) => `${arrow(key)}${inside(item)}`);
            if (isArray(value)) return `[${value.map(inside).join(", ")}]`;
            if (value instanceof Map) return `Map {${pairs([...value], (key) => `${inside(key)} => `).join(", ")}}`;
            if (value instanceof Set) return `Set {${[...value].map(inside).join(", ")}}`;
            if (value instanceof Date || value instanceof RegExp) return String(value);
            const name = value.constructor?.name;
            const members = pairs(Object.entries(value), (key) => `${key}: `).join(", ");
            return `${name && name !== "Object" ? `${name} ` : ""}{${members}}`;
        } catch (error) {
            return "[what cannot be shown]";
        }
    };

    const line = (write) => (...values) => write(clean(`${values.map((value) => show(value)).join(" ")}\n`));
    const [out, err] = [line(natives.out), line(natives.err)];
    const define = (name, value) =>
        Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
    define("console", { log: out, info: out, debug: out, warn: err, error: err });
    define("print", out);
    define("stdin", input);
    define("fs", {
        readText: (path) => natives.readFile(clean(path)),
        writeText: (path, text) => natives.writeFile(clean(path), clean(text)),
        list: (path) => natives.listFiles(clean(path)),
        remove: (path) => natives.removeFile(clean(path)),
    });

    return {
        json: (value) => stringify(plain(value, 0)),
        show: (value) => clean(show(value)),
        // What was thrown, which can be anything: its kind, its sentence, where.
        kind: (thrown) => {
            if (thrown instanceof Error) return clean(thrown.name);
            return thrown === null ? "null" : typeof thrown;
        },
        message: (thrown) => clean(thrown instanceof Error ? thrown.message : show(thrown)),
        traceback: (thrown) => {
            if (!(thrown instanceof Error)) return clean(`thrown: ${show(thrown)}`);
            return clean(`${thrown.name}: ${thrown.message}\n${thrown.stack ?? ""}`).trimEnd();
        },
    };
});
