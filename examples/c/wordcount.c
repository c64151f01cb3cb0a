/* Counts lines, words and bytes of its standard input, as wc does. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>

int main(void)
{
    unsigned long lines = 0, words = 0, bytes = 0;
    bool inside = false;
    int character;

    while ((character = getchar()) != EOF) {
        bytes++;
        if (character == '\n')
            lines++;
        if (isspace(character)) {
            inside = false;
        } else if (!inside) {
            inside = true;
            words++;
        }
    }
    if (ferror(stdin)) {
        perror("wordcount");
        return 1;
    }
    printf("%lu %lu %lu\n", lines, words, bytes);
    return 0;
}
