/* Digits of a keypad, as every way of hearing them reports them. */
#ifndef RW_DIGIT_H
#define RW_DIGIT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RW_DIGITS 16

/* By event code of RFC 4733 section 3.2. */
#define RW_DIGIT_SYMBOLS "0123456789*#ABCD"

/* A digit began, or is over. */
typedef struct rw_digit {
    char symbol; /* one of RW_DIGIT_SYMBOLS */
    bool ended;
    uint32_t duration_ms; /* 0 when it begins */
} rw_digit;

/* Event code of a symbol; -1 if it is no digit. */
static inline int rw_digit_code(char symbol) {
    const char *found = symbol ? strchr(RW_DIGIT_SYMBOLS, symbol) : NULL;
    return found ? (int)(found - RW_DIGIT_SYMBOLS) : -1;
}

#endif
