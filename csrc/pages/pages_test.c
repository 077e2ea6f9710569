#include "pages/pages.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "test/check.h"

#define HUGE RW_PAGES_HUGE_BYTES
#define MEGABYTE ((size_t)1 << 20)

static bool is_mapped(void *slot) {
    unsigned char resident;
    return mincore(slot, 1, &resident) == 0 || errno != ENOMEM;
}

static bool is_zero(const char *memory, size_t bytes) {
    return memory[0] == 0 && memcmp(memory, memory + 1, bytes - 1) == 0;
}

static void test_mapped_memory_is_zeroed_and_has_huge_pages_to_itself(void) {
    const size_t sizes[] = {1, 4096, HUGE / 2 - 1, HUGE / 2, HUGE, HUGE + 1, 3 * HUGE + 5000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        bool large = sizes[i] >= HUGE / 2;
        char *memory = rw_pages_map(sizes[i]);
        CHECK(memory);
        CHECK(is_zero(memory, sizes[i]));
        CHECK_EQUAL((uintptr_t)memory % RW_CACHE_LINE_BYTES, 0);
        memset(memory, 1, sizes[i]);
        char *last_page = memory + (sizes[i] - 1) / HUGE * HUGE;
        if (large) CHECK_EQUAL((uintptr_t)memory % HUGE, 0);
        if (large) CHECK(is_mapped(last_page + HUGE - 4096));
        rw_pages_unmap(memory, sizes[i]);
        if (large) CHECK(!is_mapped(memory) && !is_mapped(last_page + HUGE - 4096));
    }
    rw_pages_unmap(NULL, 1);
    rw_pages_unmap(NULL, HUGE);
}

static size_t address_space_bytes(void) {
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_nothing_stays_mapped_beside_it(void) {
    enum { ROUNDS = 100 };
    void *memory[ROUNDS];
    size_t before = address_space_bytes();
    for (int i = 0; i < ROUNDS; i++) {
        memory[i] = rw_pages_map(HUGE);
        CHECK(memory[i]);
    }
    CHECK(address_space_bytes() - before < (ROUNDS + 10) * HUGE);
    for (int i = 0; i < ROUNDS; i++)
        rw_pages_unmap(memory[i], HUGE);
    CHECK(address_space_bytes() < before + 10 * HUGE);
}

static void test_more_than_there_is_is_refused(void) {
    CHECK(!rw_pages_map(SIZE_MAX));
    CHECK(!rw_pages_map(SIZE_MAX / 4));
}

static void test_slots_do_not_overlap(void) {
    const size_t sizes[] = {HUGE / 64, 256 << 10, MEGABYTE, HUGE};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        enum { CHUNKS = 3 };
        size_t bytes = sizes[i], count = CHUNKS * HUGE / bytes;
        uint32_t *slots[CHUNKS * 64];
        rw_pages *pages = rw_pages_create();
        for (size_t n = 0; n < count; n++) {
            slots[n] = rw_pages_take(pages, bytes);
            CHECK(slots[n]);
            CHECK_EQUAL((uintptr_t)slots[n] % bytes, 0);
            for (size_t at = 0; at < bytes / sizeof(uint32_t); at += 1024)
                slots[n][at] = (uint32_t)n;
        }
        for (size_t n = 0; n < count; n++) {
            for (size_t at = 0; at < bytes / sizeof(uint32_t); at += 1024)
                CHECK_EQUAL(slots[n][at], n);
            CHECK(rw_pages_give(pages, slots[n]));
        }
        rw_pages_destroy(pages);
    }
}

static void test_other_sizes_are_refused(void) {
    rw_pages *pages = rw_pages_create();
    CHECK(!rw_pages_take(pages, 0));
    CHECK(!rw_pages_take(pages, HUGE / 128)); /* more than 64 of them */
    CHECK(!rw_pages_take(pages, MEGABYTE + 4096));
    CHECK(!rw_pages_take(pages, 2 * HUGE));
    CHECK(!rw_pages_take(pages, SIZE_MAX));
    rw_pages_destroy(pages);
}

static void test_what_is_not_its_own_is_left_alone(void) {
    rw_pages *pages = rw_pages_create(), *others = rw_pages_create();
    char *slot = rw_pages_take(pages, MEGABYTE), *foreign = rw_pages_take(others, MEGABYTE);
    CHECK(!rw_pages_give(pages, foreign));
    CHECK(!rw_pages_give(pages, NULL));
    CHECK(!rw_pages_give(pages, slot - 1));
    CHECK(!rw_pages_give(pages, (char *)((uintptr_t)slot & ~(HUGE - 1)) + HUGE));
    CHECK(is_mapped(foreign));
    CHECK(rw_pages_give(pages, slot));
    rw_pages_destroy(pages);
    rw_pages_destroy(others);
    rw_pages_destroy(NULL);
}

static void test_empty_chunks_go_back_but_for_one(void) {
    enum { CHUNKS = 5, SLOTS = 2 * CHUNKS };
    rw_pages *pages = rw_pages_create();
    void *slots[SLOTS];
    for (int i = 0; i < SLOTS; i++)
        slots[i] = rw_pages_take(pages, MEGABYTE);
    for (int i = 0; i < SLOTS; i += 2)
        CHECK(rw_pages_give(pages, slots[i]));
    for (int i = 0; i < SLOTS; i++)
        CHECK(is_mapped(slots[i])); /* each chunk has a slot that is out */
    for (int i = 1; i < SLOTS; i += 2)
        CHECK(rw_pages_give(pages, slots[i]));
    int mapped = 0;
    for (int i = 0; i < SLOTS; i += 2)
        mapped += is_mapped(slots[i]);
    CHECK_EQUAL(mapped, 1);
    rw_pages_destroy(pages);
    for (int i = 0; i < SLOTS; i++)
        CHECK(!is_mapped(slots[i]));
}

static void test_a_border_is_crossed_without_mapping_anew(void) {
    rw_pages *pages = rw_pages_create();
    void *first = rw_pages_take(pages, HUGE);
    void *second = rw_pages_take(pages, HUGE);
    for (int i = 0; i < 10; i++) {
        CHECK(rw_pages_give(pages, second));
        CHECK(is_mapped(second));
        CHECK(rw_pages_take(pages, HUGE) == second);
    }
    CHECK(rw_pages_give(pages, first));
    CHECK(rw_pages_give(pages, second));
    rw_pages_destroy(pages);
}

static void test_an_empty_chunk_is_cut_anew(void) {
    rw_pages *pages = rw_pages_create();
    char *whole = rw_pages_take(pages, HUGE);
    CHECK(rw_pages_give(pages, whole));
    CHECK(rw_pages_take(pages, MEGABYTE) == whole);
    char *other = rw_pages_take(pages, 256 << 10); /* sizes do not mix in one chunk */
    CHECK(other < whole || other >= whole + HUGE);
    CHECK(rw_pages_take(pages, MEGABYTE) == whole + MEGABYTE);
    rw_pages_destroy(pages);
}

static void test_fuller_chunks_are_filled_first(void) {
    rw_pages *pages = rw_pages_create();
    char *slots[24];
    for (int i = 0; i < 24; i++) /* three chunks of eight */
        slots[i] = rw_pages_take(pages, HUGE / 8);
    for (int i = 0; i < 7; i++)
        CHECK(rw_pages_give(pages, slots[i]));
    CHECK(rw_pages_give(pages, slots[8]));
    CHECK(rw_pages_take(pages, HUGE / 8) == slots[8]);
    rw_pages_destroy(pages);
}

static void test_a_child_has_the_slots_too(void) {
    rw_pages *pages = rw_pages_create();
    char *slot = rw_pages_take(pages, MEGABYTE), *other = rw_pages_take(pages, HUGE);
    strcpy(slot, "kept");
    pid_t child = fork();
    if (child == 0) {
        bool good = !strcmp(slot, "kept") && rw_pages_give(pages, slot) &&
                    rw_pages_give(pages, other) && rw_pages_take(pages, HUGE);
        _exit(!good);
    }
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
    CHECK(!strcmp(slot, "kept"));
    rw_pages_destroy(pages);
}

static void *take_and_give(void *context) {
    rw_pages *pages = context;
    for (int i = 0; i < 300; i++) {
        void **slots[3];
        for (int n = 0; n < 3; n++) {
            slots[n] = rw_pages_take(pages, MEGABYTE);
            CHECK(slots[n]);
            *slots[n] = slots[n];
        }
        for (int n = 0; n < 3; n++) {
            CHECK(*slots[n] == slots[n]);
            CHECK(rw_pages_give(pages, slots[n]));
        }
    }
    return NULL;
}

static void test_threads_may_share_it(void) {
    enum { THREADS = 3 };
    rw_pages *pages = rw_pages_create();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, take_and_give, pages), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    rw_pages_destroy(pages);
}

int main(void) {
    test_mapped_memory_is_zeroed_and_has_huge_pages_to_itself();
    test_nothing_stays_mapped_beside_it();
    test_more_than_there_is_is_refused();
    test_slots_do_not_overlap();
    test_other_sizes_are_refused();
    test_what_is_not_its_own_is_left_alone();
    test_empty_chunks_go_back_but_for_one();
    test_a_border_is_crossed_without_mapping_anew();
    test_an_empty_chunk_is_cut_anew();
    test_fuller_chunks_are_filled_first();
    test_a_child_has_the_slots_too();
    test_threads_may_share_it();
    return 0;
}
