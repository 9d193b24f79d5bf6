// {{name}}: tools for aos-host.
import { integer, invalid, object, optional, string, tool } from "./aos";

export default {
    count_words: tool({
        description: "Counts the words of a text.",
        readOnly: true,
        idempotent: true,
        parameters: {
            text: string("The text to count."),
            letters_max: optional(integer("Count words that are no longer than this only.")),
        },
        returns: object({ words: integer(), distinct: integer() }),
        run({ text, letters_max = Infinity }) {
            if (letters_max < 1) throw invalid("$.letters_max: expected at least 1");
            const all = text.split(/\s+/u).filter((word) => word !== "");
            const words = all.filter((word) => [...word].length <= letters_max);
            return { words: words.length, distinct: new Set(words).size };
        },
    }),
};
