/* Tools in C: a list of arguments and a function each, registered by one call.
 *
 * The list of arguments is written once, and becomes both a struct and a JSON Schema:
 *
 *     #define HALVE(ARGUMENT, OF) ARGUMENT(OF, number, whole, REQUIRED, "The number to halve.")
 *     AOS_ARGUMENTS(halve, HALVE)
 *
 *     static void halve_run(const struct halve *in, aos_result *out) {
 *         aos_text(out, "%g", in->whole / 2);
 *     }
 *
 * Kinds: string (aos_string), number (double), integer (int64_t), boolean (bool). What is OPTIONAL
 * and was left out has has_NAME false. Memory of a call is given back when it ends: use aos_alloc.
 */
#ifndef AOS_H
#define AOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* UTF-8 text; not ended by a zero. */
typedef struct {
    const char *data;
    size_t length;
} aos_string;

typedef struct aos_result aos_result;

enum aos_behaviour { AOS_READ_ONLY = 1, AOS_ADDITIVE = 2, AOS_IDEMPOTENT = 4, AOS_OPEN_WORLD = 8 };
enum aos_kind { aos_is_string, aos_is_number, aos_is_integer, aos_is_boolean };
enum aos_need { REQUIRED, OPTIONAL };

typedef struct {
    const char *name, *description;
    enum aos_kind kind;
    enum aos_need need;
    size_t value, has;
} aos_argument;

typedef struct {
    const char *name, *description;
    int behaviour;
    const aos_argument *arguments;
    size_t count, size;
    void (*run)(const void *arguments, aos_result *result);
    /* JSON Schema of what aos_structured gives, or none. */
    const char *output_schema;
} aos_tool;

typedef aos_string aos_type_string;
typedef double aos_type_number;
typedef int64_t aos_type_integer;
typedef bool aos_type_boolean;

#define AOS_ROW(of, kind_, field, need_, text)                                   \
    {.name = #field, .description = text, .kind = aos_is_##kind_, .need = need_, \
     .value = offsetof(struct of, field), .has = offsetof(struct of, has_##field)},

/* LIST(FIELD, OF) applies FIELD(OF, kind, name, need, description) to each argument. */
#define AOS_FIELD(of, kind, field, need, text) \
    aos_type_##kind field;                     \
    bool has_##field;
#define AOS_ARGUMENTS(tool, LIST)            \
    struct tool {                            \
        LIST(AOS_FIELD, tool)                \
    };                                       \
    static const aos_argument tool##_arguments[] = {LIST(AOS_ROW, tool)};

/* One tool, for the list that aos_register gets. */
#define AOS_TOOL(tool, text, flags, schema)                                           \
    {.name = #tool, .description = text, .behaviour = flags,                          \
     .arguments = tool##_arguments,                                                   \
     .count = sizeof tool##_arguments / sizeof *tool##_arguments,                     \
     .size = sizeof(struct tool), .run = (void (*)(const void *, aos_result *))tool##_run, \
     .output_schema = schema}

/* Defined by the plugin: its tools, once. */
const aos_tool *aos_tools(size_t *count);
#define aos_register(tools)                          \
    const aos_tool *aos_tools(size_t *count) {       \
        *count = sizeof(tools) / sizeof *(tools);    \
        return tools;                                \
    }

/* Zeroed memory that lives until the call ends. Never null: without memory the call ends. */
void *aos_alloc(size_t size);

/* The answer as text; printf's format. */
__attribute__((format(printf, 2, 3))) void aos_text(aos_result *result, const char *format, ...);
/* The answer as a JSON object; printf's format. It stands as text, too. */
__attribute__((format(printf, 2, 3))) void aos_structured(aos_result *result, const char *format, ...);
/* The answer is an error: the caller reads the sentence. printf's format. */
__attribute__((format(printf, 2, 3))) void aos_failed(aos_result *result, const char *format, ...);
__attribute__((format(printf, 2, 3))) void aos_invalid(aos_result *result, const char *format, ...);
__attribute__((format(printf, 2, 3))) void aos_unavailable(aos_result *result, const char *format, ...);

/* For tests: calls a tool; the text of its answer or error, and which. */
enum aos_outcome { AOS_OK, AOS_UNKNOWN_TOOL, AOS_INVALID, AOS_UNAVAILABLE, AOS_FAILED };
enum aos_outcome aos_call(aos_string name, aos_string arguments, aos_string *text, bool *structured);

#endif
