// QuickJS has no console: what is printed goes to stderr, which the host bounds.
import { getStderr } from "wasi:cli/stderr@0.2.12";

const bytes = (text) => {
    const utf8 = unescape(encodeURIComponent(text));
    return Uint8Array.from(utf8, (c) => c.charCodeAt(0));
};
const shown = (value) => {
    if (typeof value === "string") return value;
    if (value instanceof Error) return `${value}\n${value.stack ?? ""}`;
    try {
        return JSON.stringify(value) ?? String(value);
    } catch {
        return String(value);
    }
};
// One write takes 4096 bytes at most.
export const write = (stream, text) => {
    const all = bytes(text);
    for (let at = 0; at < all.length; at += 4096) {
        stream.blockingWriteAndFlush(all.slice(at, at + 4096));
    }
};
const print = (...values) => write(getStderr(), values.map(shown).join(" ") + "\n");
globalThis.console ??= { log: print, info: print, warn: print, error: print, debug: print };
