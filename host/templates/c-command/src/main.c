/* {{name}}: greets who its arguments name. */
#include <stdio.h>

int main(int count, char **words) {
    printf("Hello, %s", count > 1 ? words[1] : "world");
    for (int i = 2; i < count; i++) printf(" and %s", words[i]);
    puts("!");
    return 0;
}
