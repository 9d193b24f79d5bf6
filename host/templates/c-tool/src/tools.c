/* {{name}}: tools for aos-host. */
#include "aos.h"

#include <string.h>

#define COUNT_WORDS(ARGUMENT, OF)                                \
    ARGUMENT(OF, string, text, REQUIRED, "The text to count.")   \
    ARGUMENT(OF, integer, letters_max, OPTIONAL, "Count words that are no longer than this only.")
AOS_ARGUMENTS(count_words, COUNT_WORDS)

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Bytes that begin a character: all but those that go on with one. */
static int64_t letters(aos_string word) {
    int64_t count = 0;
    for (size_t i = 0; i < word.length; i++) count += (word.data[i] & 0xc0) != 0x80;
    return count;
}

static void count_words_run(const struct count_words *in, aos_result *out) {
    if (in->has_letters_max && in->letters_max < 1) {
        aos_invalid(out, "$.letters_max: expected at least 1");
        return;
    }
    size_t words = 0, distinct = 0;
    /* Each word takes two bytes at least, with what parts it from the next. */
    aos_string *seen = aos_alloc((in->text.length / 2 + 1) * sizeof *seen);
    for (size_t at = 0; at < in->text.length;) {
        size_t begin = at;
        while (at < in->text.length && !is_space(in->text.data[at])) at++;
        aos_string word = {in->text.data + begin, at - begin};
        at++;
        if (!word.length || (in->has_letters_max && letters(word) > in->letters_max)) continue;
        words++;
        size_t i = 0;
        while (i < distinct && (seen[i].length != word.length || memcmp(seen[i].data, word.data, word.length))) i++;
        if (i == distinct) seen[distinct++] = word;
    }
    aos_structured(out, "{\"words\":%zu,\"distinct\":%zu}", words, distinct);
}

static const aos_tool tools[] = {
    AOS_TOOL(count_words, "Counts the words of a text.", AOS_READ_ONLY | AOS_IDEMPOTENT,
             "{\"type\":\"object\",\"properties\":{\"words\":{\"type\":\"integer\"},"
             "\"distinct\":{\"type\":\"integer\"}},\"required\":[\"words\",\"distinct\"]}"),
};
aos_register(tools)
