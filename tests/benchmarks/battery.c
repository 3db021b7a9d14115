/* meshsim's keyed draws under TestU01: the same words as battery.py writes, computed in C.
 *
 *     battery words LAYOUT SEED COUNT                        COUNT raw 64-bit words on stdout
 *     battery smallcrush|crush|bigcrush LAYOUT SEED PART     a battery of TestU01
 *
 * The layouts are told in battery.py, which builds and runs this program and checks that both agree.
 * TestU01 eats 32 bits at a time; PART says which bits of each word it gets:
 *     both       the high half, then the low half
 *     high       the high half only: what decides a draw
 *     reversed   the low half only, lowest bit first: the weakest bits of many generators, put where the
 *                battery looks hardest
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <testu01/bbattery.h>
#include <testu01/unif01.h>

/* These numbers are those of meshsim/random.py. */
enum {
    GAP = 0, PROXY_OUT = 3, PROXY_BACK, FAULT_DELAY, FAULT_TIME, FAULT_ABORT, ROUTE, TAKEN, SLEEP, BACKOFF,
    LINK_OUT, LINK_BACK, LINK_NOTICE, PROXY_IN, PROXY_RESPONSE, SERVICE, ERROR, SAMPLE = 21, BALANCE = 64,
    LOSS_OUT = 1 << 16, LOSS_BACK = 1 << 17, SCRIPT = 1000
};
enum { WORDS_MAX = 256 }; /* of one index of a layout */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t derive(uint64_t key, uint64_t tag)
{
    return mix(key + (tag + 1) * UINT64_C(0xD1B54A32D192ED03));
}

static uint64_t bits(uint64_t key, uint64_t purpose)
{
    return mix(key + (purpose + 1) * UINT64_C(0x9E3779B97F4A7C15));
}

static uint64_t seed, load; /* load: the first load's key */
static uint64_t words[WORDS_MAX];

static int layout_draws(uint64_t n)
{
    words[0] = bits(derive(load, 0), n);
    return 1;
}

static int layout_arrivals(uint64_t n)
{
    words[0] = bits(derive(load, n), GAP);
    return 1;
}

static int layout_keys(uint64_t n)
{
    words[0] = derive(load, n);
    return 1;
}

static int layout_seeds(uint64_t n)
{
    words[0] = bits(derive(derive(derive((seed << 32) + n + 1, 0), 0), 0), SERVICE);
    return 1;
}

static int many(int at, uint64_t key, const int *purposes, int count)
{
    for (int i = 0; i < count; i++)
        words[at++] = bits(key, (uint64_t)purposes[i]);
    return at;
}

static int call(int at, uint64_t key, int depth)
{
    static const int of_call[] = {PROXY_OUT, PROXY_BACK, FAULT_DELAY, FAULT_TIME, FAULT_ABORT, ROUTE, TAKEN};
    static const int of_attempt[] = {BACKOFF, LINK_OUT, LINK_BACK, LINK_NOTICE, PROXY_IN, PROXY_RESPONSE,
                                     ERROR, BALANCE, BALANCE + 1, LOSS_OUT, LOSS_BACK};
    static const int of_erlang[] = {0, 1, 2};
    at = many(at, key, of_call, 7);
    for (int i = 0; i < 2; i++) {
        uint64_t attempt = derive(key, (uint64_t)i);
        at = many(at, attempt, of_attempt, 11);
        at = many(at, bits(attempt, SERVICE), of_erlang, 3);
        if (depth == 0) {
            at = call(at, derive(attempt, SCRIPT), 1);
            at = call(at, derive(attempt, SCRIPT + 1), 1);
            words[at++] = bits(derive(attempt, SCRIPT + 2), SLEEP);
        }
    }
    return at;
}

static int layout_tree(uint64_t n)
{
    uint64_t request = derive(load, n);
    words[0] = bits(request, GAP);
    words[1] = bits(request, SAMPLE);
    return call(2, request, 0);
}

static const struct {
    const char *name;
    int (*fill)(uint64_t n);
} layouts[] = {{"draws", layout_draws}, {"arrivals", layout_arrivals}, {"keys", layout_keys},
               {"tree", layout_tree},   {"seeds", layout_seeds}};

static int (*fill)(uint64_t n);
static uint64_t index_next;
static int at, filled;

static uint64_t next(void)
{
    if (at == filled) {
        filled = fill(index_next++);
        at = 0;
    }
    return words[at++];
}

static unsigned int part_both(void)
{
    static uint64_t word;
    static int low_is_next;
    low_is_next = !low_is_next;
    if (low_is_next) {
        word = next();
        return (unsigned int)(word >> 32);
    }
    return (unsigned int)word;
}

static unsigned int part_high(void)
{
    return (unsigned int)(next() >> 32);
}

static unsigned int part_reversed(void)
{
    uint32_t z = (uint32_t)next();
    z = (z >> 1 & 0x55555555) | (z & 0x55555555) << 1;
    z = (z >> 2 & 0x33333333) | (z & 0x33333333) << 2;
    z = (z >> 4 & 0x0F0F0F0F) | (z & 0x0F0F0F0F) << 4;
    return __builtin_bswap32(z);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: battery words LAYOUT SEED COUNT | BATTERY LAYOUT SEED PART\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        if (strcmp(argv[2], layouts[i].name) == 0)
            fill = layouts[i].fill;
    if (fill == NULL) {
        fprintf(stderr, "no such layout: %s\n", argv[2]);
        return 2;
    }
    seed = strtoull(argv[3], NULL, 10);
    load = derive(seed, 0);
    if (strcmp(argv[1], "words") == 0) {
        for (uint64_t left = strtoull(argv[4], NULL, 10); left > 0; left--) {
            uint64_t word = next();
            fwrite(&word, sizeof word, 1, stdout);
        }
        return 0;
    }
    unsigned int (*part)(void) = strcmp(argv[4], "high") == 0       ? part_high
                                 : strcmp(argv[4], "reversed") == 0 ? part_reversed
                                                                    : part_both;
    unif01_Gen *generator = unif01_CreateExternGenBits(argv[2], part);
    if (strcmp(argv[1], "smallcrush") == 0)
        bbattery_SmallCrush(generator);
    else if (strcmp(argv[1], "crush") == 0)
        bbattery_Crush(generator);
    else
        bbattery_BigCrush(generator);
    unif01_DeleteExternGenBits(generator);
    return 0;
}
