// {{name}}: tools for aos-host.
import { invalid } from "./aos.js";

/** @type {Record<string, import("./aos.js").Tool>} */
export default {
    count_words: {
        description: "Counts the words of a text.",
        readOnly: true,
        idempotent: true,
        parameters: {
            text: { type: "string", description: "The text to count." },
            letters_max: {
                type: "integer",
                description: "Count words that are no longer than this only.",
            },
        },
        optional: ["letters_max"],
        returns: {
            type: "object",
            properties: { words: { type: "integer" }, distinct: { type: "integer" } },
            required: ["words", "distinct"],
        },
        run({ text, letters_max = Infinity }) {
            if (letters_max < 1) throw invalid("$.letters_max: expected at least 1");
            const all = text.split(/\s+/u).filter((word) => word !== "");
            const words = all.filter((word) => [...word].length <= letters_max);
            return { words: words.length, distinct: new Set(words).size };
        },
    },
};
