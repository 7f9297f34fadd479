/* A parser of settings, with four planted bugs: see parser.c. */

#ifndef CRASHBED_NATIVE_PARSER_H
#define CRASHBED_NATIVE_PARSER_H

#include <stddef.h>
#include <stdint.h>

/* What a document holds. */
struct settings_summary {
    uint64_t entries; /* names that are set at its end */
    uint64_t numbers; /* values by kind, those in lists too */
    uint64_t texts;
    uint64_t lists;
    uint64_t sum;    /* of all numbers, modulo 2^64 */
    uint64_t digest; /* FNV-1a, 64 bits, of all names and values in the order of their first setting */
};

/* Parses a document. Returns 0 and fills `summary`, or returns the first line that is wrong, counted from 1. */
uint64_t settings_parse(const char *text, size_t length, struct settings_summary *summary);

#endif
