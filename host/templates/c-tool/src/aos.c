/* The contract aos:tool/tools by its canonical ABI, and as much JSON as arguments need. */
#include "aos.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct aos_result {
    enum aos_outcome outcome;
    bool structured;
    aos_string text;
};

/* Memory of one call: every call has an instance of its own, so nothing is given back. */
void *aos_alloc(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    if (!memory) {
        fputs("no memory\n", stderr);
        abort();
    }
    return memory;
}

static aos_string printed(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) length = 0;
    char *text = aos_alloc((size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    return (aos_string){text, (size_t)length};
}

#define ANSWER(name, outcome_, structured_)                     \
    void name(aos_result *result, const char *format, ...) {    \
        va_list arguments;                                      \
        va_start(arguments, format);                            \
        result->text = printed(format, arguments);              \
        va_end(arguments);                                      \
        result->outcome = outcome_;                             \
        result->structured = structured_;                       \
    }
ANSWER(aos_text, AOS_OK, false)
ANSWER(aos_structured, AOS_OK, true)
ANSWER(aos_failed, AOS_FAILED, false)
ANSWER(aos_invalid, AOS_INVALID, false)
ANSWER(aos_unavailable, AOS_UNAVAILABLE, false)

/* ---- JSON: the host has checked it; what is malformed all the same ends the walk. ---- */

enum { LEVELS_MAX = 256 };

typedef struct {
    const char *at, *end;
} cursor;

static void blank(cursor *in) {
    while (in->at < in->end && strchr(" \t\r\n", *in->at)) in->at++;
}

static bool take(cursor *in, char c) {
    blank(in);
    if (in->at >= in->end || *in->at != c) return false;
    in->at++;
    return true;
}

static int hex4(const char *at) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *utf8(char *to, unsigned c) {
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

static bool string(cursor *in, aos_string *out) {
    if (!take(in, '"')) return false;
    const char *end = in->at;
    while (end < in->end && *end != '"') end += *end == '\\' && end + 1 < in->end ? 2 : 1;
    if (end >= in->end) return false;
    /* An escape is never shorter than what it means. */
    char *text = aos_alloc((size_t)(end - in->at) + 4), *to = text;
    while (in->at < end) {
        char c = *in->at++;
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        c = *in->at++;
        if (c != 'u') {
            static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
            const char *found = c ? strchr(letters, c) : NULL;
            *to++ = found ? meant[found - letters] : c;
            continue;
        }
        if (end - in->at < 4) return false;
        int unit = hex4(in->at);
        if (unit < 0) return false;
        in->at += 4;
        unsigned code = (unsigned)unit;
        if (code >= 0xd800 && code < 0xdc00 && end - in->at >= 6 && in->at[0] == '\\' && in->at[1] == 'u') {
            int low = hex4(in->at + 2);
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10) + (unsigned)(low - 0xdc00);
                in->at += 6;
            }
        }
        to = utf8(to, code);
    }
    in->at = end + 1;
    *out = (aos_string){text, (size_t)(to - text)};
    return true;
}

static bool skip(cursor *in, int level) {
    blank(in);
    if (in->at >= in->end || level > LEVELS_MAX) return false;
    aos_string ignored;
    char c = *in->at;
    if (c == '"') return string(in, &ignored);
    if (c == '{' || c == '[') {
        char close = c == '{' ? '}' : ']';
        in->at++;
        if (take(in, close)) return true;
        do {
            if (c == '{' && !(string(in, &ignored) && take(in, ':'))) return false;
            if (!skip(in, level + 1)) return false;
        } while (take(in, ','));
        return take(in, close);
    }
    while (in->at < in->end && !strchr(",]} \t\r\n", *in->at)) in->at++;
    return true;
}

/* A value into its place in the struct. */
static bool value(cursor *in, const aos_argument *argument, char *into) {
    void *place = into + argument->value;
    blank(in);
    cursor before = *in;
    if (argument->kind == aos_is_string) return string(in, place);
    if (!skip(in, 0)) return false;
    size_t length = (size_t)(in->at - before.at);
    char *word = aos_alloc(length + 1), *end = NULL;
    memcpy(word, before.at, length);
    if (argument->kind == aos_is_boolean) {
        *(bool *)place = strcmp(word, "true") == 0;
        return *(bool *)place || strcmp(word, "false") == 0;
    }
    double number = strtod(word, &end);
    if (end == word || *end) return false;
    if (argument->kind == aos_is_number) {
        *(double *)place = number;
        return true;
    }
    int64_t whole = strtoll(word, &end, 10);
    /* 1e3 and 3.0 are integers to JSON Schema. */
    if (*end && !(number >= -9.2e18 && number <= 9.2e18)) return false;
    *(int64_t *)place = *end ? (int64_t)number : whole;
    return true;
}

static bool arguments(const aos_tool *tool, aos_string text, char *into, aos_result *result) {
    cursor in = {text.data, text.data + text.length};
    if (!take(&in, '{')) goto malformed;
    if (!take(&in, '}')) {
        do {
            aos_string name;
            if (!string(&in, &name) || !take(&in, ':')) goto malformed;
            const aos_argument *found = NULL;
            for (size_t i = 0; i < tool->count; i++) {
                const aos_argument *one = &tool->arguments[i];
                if (strlen(one->name) == name.length && !memcmp(one->name, name.data, name.length)) found = one;
            }
            if (!found) {
                aos_invalid(result, "$.%.*s: there is no such argument", (int)name.length, name.data);
                return false;
            }
            if (!value(&in, found, into)) {
                aos_invalid(result, "$.%s: it is of another type", found->name);
                return false;
            }
            *(bool *)(into + found->has) = true;
        } while (take(&in, ','));
        if (!take(&in, '}')) goto malformed;
    }
    for (size_t i = 0; i < tool->count; i++) {
        const aos_argument *one = &tool->arguments[i];
        if (one->need == REQUIRED && !*(bool *)(into + one->has)) {
            aos_invalid(result, "$.%s: it is missing", one->name);
            return false;
        }
    }
    return true;
malformed:
    aos_invalid(result, "the arguments are no JSON object");
    return false;
}

enum aos_outcome aos_call(aos_string name, aos_string text, aos_string *answer, bool *structured) {
    size_t count;
    const aos_tool *tools = aos_tools(&count);
    aos_result result = {AOS_OK, false, {"done", 4}};
    const aos_tool *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strlen(tools[i].name) == name.length && !memcmp(tools[i].name, name.data, name.length)) found = &tools[i];
    }
    if (!found) {
        result.outcome = AOS_UNKNOWN_TOOL;
        result.text = name;
    } else {
        char *into = aos_alloc(found->size);
        if (arguments(found, text, into, &result)) found->run(into, &result);
    }
    *answer = result.text;
    if (structured) *structured = result.structured;
    return result.outcome;
}

#ifdef __wasm__

/* ---- The canonical ABI: records as they lie in memory of 32 bits. ---- */

typedef struct {
    int32_t is_some;
    aos_string value;
} optional_string;

typedef struct {
    aos_string name;
    optional_string title;
    aos_string description, input_schema;
    optional_string output_schema;
    uint8_t read_only, destructive, idempotent, open_world;
} definition;

_Static_assert(sizeof(definition) == 52, "as the canonical ABI lays it out");

static aos_string quoted(const char *text) {
    char *out = aos_alloc(strlen(text) * 6 + 3), *to = out;
    *to++ = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') *to++ = '\\';
        if (c < 0x20) to += sprintf(to, "\\u%04x", c);
        else *to++ = (char)c;
    }
    *to++ = '"';
    return (aos_string){out, (size_t)(to - out)};
}

static void append(aos_string *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    aos_string more = printed(format, arguments);
    va_end(arguments);
    char *all = aos_alloc(to->length + more.length + 1);
    memcpy(all, to->data, to->length);
    memcpy(all + to->length, more.data, more.length);
    *to = (aos_string){all, to->length + more.length};
}

static aos_string input_schema(const aos_tool *tool) {
    static const char *types[] = {"string", "number", "integer", "boolean"};
    aos_string schema = {"", 0}, required = {"", 0};
    append(&schema, "{\"type\":\"object\",\"properties\":{");
    for (size_t i = 0; i < tool->count; i++) {
        const aos_argument *one = &tool->arguments[i];
        append(&schema, "%s\"%s\":{\"type\":\"%s\",\"description\":%s}", i ? "," : "", one->name,
               types[one->kind], quoted(one->description).data);
        if (one->need == REQUIRED) append(&required, "%s\"%s\"", required.length ? "," : "", one->name);
    }
    append(&schema, "},\"required\":[%s],\"additionalProperties\":false}", required.length ? required.data : "");
    return schema;
}

typedef struct {
    definition *data;
    size_t length;
} definition_list;

__attribute__((export_name("aos:tool/tools@0.1.0#definitions"))) definition_list *exported_definitions(void) {
    size_t count;
    const aos_tool *tools = aos_tools(&count);
    definition_list *list = aos_alloc(sizeof *list);
    list->data = aos_alloc(count * sizeof(definition));
    list->length = count;
    for (size_t i = 0; i < count; i++) {
        const aos_tool *tool = &tools[i];
        int flags = tool->behaviour;
        list->data[i] = (definition){
            .name = {tool->name, strlen(tool->name)},
            .description = {tool->description, strlen(tool->description)},
            .input_schema = input_schema(tool),
            .read_only = (flags & AOS_READ_ONLY) != 0,
            .destructive = !(flags & (AOS_READ_ONLY | AOS_ADDITIVE)),
            .idempotent = (flags & AOS_IDEMPOTENT) != 0,
            .open_world = (flags & AOS_OPEN_WORLD) != 0,
        };
        if (tool->output_schema) {
            aos_string schema = {tool->output_schema, strlen(tool->output_schema)};
            list->data[i].output_schema = (optional_string){1, schema};
        }
    }
    return list;
}

/* A content of text: its case, and the string where the largest case would lie. */
typedef struct {
    uint8_t is;
    aos_string text;
    int32_t rest[2];
} content;

/* result<output, error>: the larger case is an error with a limit, of u64s, so all lie at 8. */
typedef struct {
    _Alignas(8) uint8_t is_error;
    union {
        struct {
            content *data;
            size_t length;
            optional_string structured;
        } output;
        struct {
            _Alignas(8) uint8_t is;
            _Alignas(8) aos_string text;
            uint8_t rest[48];
        } error;
    };
} answer;

_Static_assert(offsetof(answer, output) == 8, "as the canonical ABI lays it out");
_Static_assert(offsetof(answer, error.text) == 16, "as the canonical ABI lays it out");

__attribute__((export_name("aos:tool/tools@0.1.0#call"))) answer *exported_call(
    const char *name, size_t name_length, const char *text, size_t text_length) {
    /* unknown-tool, invalid-arguments, unavailable and failed, by their place in the variant. */
    static const uint8_t cases[] = {0, 0, 1, 6, 7};
    answer *out = aos_alloc(sizeof *out);
    aos_string said;
    bool structured = false;
    enum aos_outcome outcome = aos_call((aos_string){name, name_length}, (aos_string){text, text_length}, &said, &structured);
    fflush(NULL);
    if (outcome != AOS_OK) {
        out->is_error = 1;
        out->error.is = cases[outcome];
        out->error.text = said;
        return out;
    }
    content *only = aos_alloc(sizeof *only);
    only->text = said;
    out->output.data = only;
    out->output.length = 1;
    if (structured) out->output.structured = (optional_string){1, said};
    return out;
}

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)align; /* malloc's is 16, and the contract's largest 8. */
    (void)old_size;
    void *memory = size ? realloc(old, size) : (void *)align;
    if (!memory) abort();
    return memory;
}

#endif
