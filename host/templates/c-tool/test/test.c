// The tools, without a host: README.md has the command.
#include "aos.h"

#include <stdio.h>
#include <string.h>

static int wrong = 0;

static void expect(const char *arguments, enum aos_outcome outcome, const char *text) {
    aos_string name = {"count_words", 11}, said;
    enum aos_outcome is = aos_call(name, (aos_string){arguments, strlen(arguments)}, &said, NULL);
    if (is != outcome || said.length != strlen(text) || memcmp(said.data, text, said.length)) {
        printf("%s: %d %.*s\n", arguments, is, (int)said.length, said.data);
        wrong = 1;
    }
}

int main(void) {
    expect("{\"text\":\"to be or not to be\"}", AOS_OK, "{\"words\":6,\"distinct\":4}");
    expect("{\"text\":\"a bb ccc\",\"letters_max\":2}", AOS_OK, "{\"words\":2,\"distinct\":2}");
    expect("{\"text\":\"\\u00e9\\t\\ud83e\\udd80\",\"letters_max\":1}", AOS_OK, "{\"words\":2,\"distinct\":2}");
    expect("{\"text\":\"a\",\"letters_max\":0}", AOS_INVALID, "$.letters_max: expected at least 1");
    expect("{}", AOS_INVALID, "$.text: it is missing");
    expect("{\"text\":", AOS_INVALID, "$.text: it is of another type");
    if (!wrong) puts("ok");
    return wrong;
}
