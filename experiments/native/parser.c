/*
 * A parser of settings, as a program might have one in C:
 *
 *     # a comment
 *     name = 17                      a number of 64 bits
 *     title = "a \"text\"\n"         escapes: \n \t \" \\; a tab goes to the next multiple of eight
 *     list = [1, "two", [3]]         lists, to any depth, on one line
 *     title += " and more"           what was set before grows
 *     unset name
 *
 * Names are small letters, digits and `-`, and begin with a letter. Blanks are spaces.
 *
 * It has four bugs, of the kinds that such parsers have. Each is marked PLANTED where it is made. Sound documents, and
 * most of the wrong ones, never reach them; what reaches one, and how the process then ends, stands in
 * experiments/src/workloads/native/corpus.rs. Do not copy this file for its code.
 */

#include "parser.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum kind { NUMBER, TEXT, LIST };

struct value {
    enum kind kind;
    int64_t number;
    char *text;
    size_t length;
    struct value **items;
    size_t count;
};

struct entry {
    char *name;
    struct value *value;
    struct entry *next;
};

struct settings {
    struct entry *first;
    struct entry *recent; /* found last; settings are often set and then added to */
};

struct reader {
    const char *at;
    const char *end;
};

struct name {
    const char *start;
    size_t length;
};

/* As realloc(3), but without memory this program cannot go on. */
static void *claim(void *old, size_t bytes)
{
    void *block = realloc(old, bytes);
    if (block == NULL) {
        abort();
    }
    return block;
}

/* Values. */

static struct value *new_value(enum kind kind)
{
    struct value *value = claim(NULL, sizeof *value);
    *value = (struct value){.kind = kind};
    return value;
}

static void free_value(struct value *value)
{
    for (size_t i = 0; i < value->count; i++) {
        free_value(value->items[i]);
    }
    free(value->items);
    free(value->text);
    free(value);
}

/* Reading. */

static int peek(const struct reader *in)
{
    return in->at < in->end ? (unsigned char)*in->at : -1;
}

static bool accept(struct reader *in, int byte)
{
    bool is_there = peek(in) == byte;
    in->at += is_there;
    return is_there;
}

static void skip_blanks(struct reader *in)
{
    while (accept(in, ' ')) {
    }
}

static bool is_letter(int byte)
{
    return byte >= 'a' && byte <= 'z';
}

static bool is_digit(int byte)
{
    return byte >= '0' && byte <= '9';
}

static bool read_name(struct reader *in, struct name *name)
{
    name->start = in->at;
    if (!is_letter(peek(in))) {
        return false;
    }
    while (is_letter(peek(in)) || is_digit(peek(in)) || peek(in) == '-') {
        in->at++;
    }
    name->length = (size_t)(in->at - name->start);
    return true;
}

static bool read_number(struct reader *in, int64_t *number)
{
    bool is_negative = accept(in, '-');
    if (!is_digit(peek(in))) {
        return false;
    }
    *number = 0;
    while (is_digit(peek(in))) {
        int digit = *in->at++ - '0';
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, is_negative ? -digit : digit, number)) {
            return false;
        }
    }
    return true;
}

/* Reads a text, whose opening quote was read, to its closing one. */
static bool read_text(struct reader *in, struct value *value)
{
    const char *close = in->at;
    size_t size = 0;
    while (close < in->end && *close != '"' && *close != '\n') {
        close += *close == '\\' && close + 1 < in->end ? 2 : 1;
        size++;
    }
    if (close >= in->end || *close != '"') {
        return false;
    }
    value->text = claim(value->text, value->length + size + 1);
    while (in->at < close) {
        char byte = *in->at++;
        if (byte == '\\') {
            byte = *in->at++;
            if (byte == 't') {
                /* PLANTED, out-of-bounds write: one place was counted for a tab, and it takes up to eight. */
                do {
                    value->text[value->length++] = ' ';
                } while (value->length % 8 != 0);
                continue;
            }
            if (byte != 'n' && byte != '"' && byte != '\\') {
                return false;
            }
            byte = byte == 'n' ? '\n' : byte;
        }
        value->text[value->length++] = byte;
    }
    in->at = close + 1;
    return true;
}

static struct value *read_value(struct reader *in);

/* Reads a list, whose opening bracket was read, to its closing one. */
static bool read_list(struct reader *in, struct value *list)
{
    skip_blanks(in);
    if (accept(in, ']')) {
        return true;
    }
    for (;;) {
        struct value *item = read_value(in);
        if (item == NULL) {
            return false;
        }
        list->items = claim(list->items, (list->count + 1) * sizeof *list->items);
        list->items[list->count++] = item;
        skip_blanks(in);
        if (accept(in, ']')) {
            return true;
        }
        if (!accept(in, ',')) {
            /* PLANTED, double free: the item is the list's by now, which is freed by whoever asked for it. */
            free_value(item);
            return false;
        }
    }
}

/* Reads a value; NULL where there is none. */
static struct value *read_value(struct reader *in)
{
    struct value *value = new_value(NUMBER);
    bool is_sound;
    skip_blanks(in);
    if (accept(in, '"')) {
        value->kind = TEXT;
        is_sound = read_text(in, value);
    } else if (accept(in, '[')) {
        value->kind = LIST;
        /* PLANTED, uncontrolled recursion: the stack is as deep as the document says. */
        is_sound = read_list(in, value);
    } else {
        is_sound = read_number(in, &value->number);
    }
    if (!is_sound) {
        free_value(value);
        return NULL;
    }
    return value;
}

/* Settings. */

static bool is_named(const struct entry *entry, struct name name)
{
    for (size_t i = 0; i < name.length; i++) {
        if (entry->name[i] != name.start[i]) {
            return false;
        }
    }
    return entry->name[name.length] == '\0';
}

static struct entry *find(struct settings *settings, struct name name)
{
    if (settings->recent != NULL && is_named(settings->recent, name)) {
        return settings->recent;
    }
    for (struct entry *entry = settings->first; entry != NULL; entry = entry->next) {
        if (is_named(entry, name)) {
            settings->recent = entry;
            return entry;
        }
    }
    return NULL;
}

static void set(struct settings *settings, struct name name, struct value *value)
{
    struct entry *entry = find(settings, name);
    if (entry != NULL) {
        free_value(entry->value);
        entry->value = value;
        return;
    }
    entry = claim(NULL, sizeof *entry);
    *entry = (struct entry){.name = claim(NULL, name.length + 1), .value = value};
    memcpy(entry->name, name.start, name.length);
    entry->name[name.length] = '\0';
    struct entry **last = &settings->first;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = entry;
    settings->recent = entry;
}

static void free_entry(struct entry *entry)
{
    free_value(entry->value);
    free(entry->name);
    free(entry);
}

static bool unset(struct settings *settings, struct name name)
{
    for (struct entry **link = &settings->first; *link != NULL; link = &(*link)->next) {
        struct entry *entry = *link;
        if (is_named(entry, name)) {
            *link = entry->next;
            /* PLANTED, use after free: it may be the recent one, which is looked at before any other. */
            free_entry(entry);
            return true;
        }
    }
    return false;
}

/* A line, up to its end: nothing, `unset NAME`, `NAME = VALUE` or `NAME += TEXT`, and perhaps a comment. */
static bool read_line(struct reader *in, struct settings *settings)
{
    struct name name, gone;
    skip_blanks(in);
    if (read_name(in, &name)) {
        bool is_unset = name.length == 5 && memcmp(name.start, "unset", 5) == 0;
        skip_blanks(in);
        if (is_unset && read_name(in, &gone)) {
            if (!unset(settings, gone)) {
                return false;
            }
        } else if (accept(in, '=')) {
            struct value *value = read_value(in);
            if (value == NULL) {
                return false;
            }
            set(settings, name, value);
        } else if (accept(in, '+')) {
            struct entry *entry = find(settings, name);
            if (!accept(in, '=') || entry == NULL || entry->value->kind != TEXT) {
                return false;
            }
            skip_blanks(in);
            if (!accept(in, '"') || !read_text(in, entry->value)) {
                return false;
            }
        } else {
            return false;
        }
    }
    skip_blanks(in);
    if (accept(in, '#')) {
        while (peek(in) != '\n' && peek(in) != -1) {
            in->at++;
        }
    }
    return peek(in) == '\n' || peek(in) == -1;
}

/* The summary. */

static void digest(struct settings_summary *summary, const void *bytes, size_t length)
{
    for (const unsigned char *byte = bytes; length > 0; byte++, length--) {
        summary->digest = (summary->digest ^ *byte) * 0x100000001b3;
    }
}

/* Kind, number or length, and content; numbers are eight bytes, the lowest first. */
static void summarize(struct settings_summary *summary, const struct value *value)
{
    unsigned char head[9] = {(unsigned char)value->kind};
    uint64_t number = value->kind == NUMBER ? (uint64_t)value->number
                      : value->kind == TEXT ? value->length
                                            : value->count;
    for (int i = 0; i < 8; i++) {
        head[1 + i] = (unsigned char)(number >> 8 * i);
    }
    digest(summary, head, sizeof head);
    switch (value->kind) {
    case NUMBER:
        summary->numbers++;
        summary->sum += number;
        break;
    case TEXT:
        summary->texts++;
        digest(summary, value->text, value->length);
        break;
    case LIST:
        summary->lists++;
        for (size_t i = 0; i < value->count; i++) {
            summarize(summary, value->items[i]);
        }
        break;
    }
}

uint64_t settings_parse(const char *text, size_t length, struct settings_summary *summary)
{
    struct reader in = {text, text + length};
    struct settings settings = {NULL, NULL};
    uint64_t line = 1;
    uint64_t wrong = 0;
    *summary = (struct settings_summary){.digest = 0xcbf29ce484222325};
    for (; wrong == 0 && in.at < in.end; line++) {
        wrong = read_line(&in, &settings) ? 0 : line;
        accept(&in, '\n');
    }
    while (settings.first != NULL) {
        struct entry *entry = settings.first;
        settings.first = entry->next;
        summary->entries++;
        digest(summary, entry->name, strlen(entry->name) + 1);
        summarize(summary, entry->value);
        free_entry(entry);
    }
    return wrong;
}
