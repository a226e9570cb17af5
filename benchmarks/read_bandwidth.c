/* Reads a buffer once with several threads; the time of the slowest is the time of the pass.
 * Thirty-two sums (eight vectors of four) keep enough loads in flight; the compiler makes vector loads of them. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint64_t *words;
    size_t count;
    uint64_t sum;
} part_t;

static void *read_part(void *argument) {
    part_t *part = argument;
    uint64_t sums[32] = {0};
    for (size_t i = 0; i + 32 <= part->count; i += 32)
        for (size_t lane = 0; lane < 32; lane++) sums[lane] += part->words[i + lane];
    for (size_t lane = 0; lane < 32; lane++) part->sum += sums[lane];
    return NULL;
}

/* Returns the sum of all words, so that no compiler can leave the reading out. */
uint64_t read_all(const uint64_t *words, size_t count, int threads) {
    pthread_t handles[64];
    part_t parts[64];
    size_t share = count / (size_t)threads;
    uint64_t sum = 0;
    for (int thread = 0; thread < threads; thread++) {
        parts[thread] = (part_t){words + (size_t)thread * share, share, 0};
        pthread_create(&handles[thread], NULL, read_part, &parts[thread]);
    }
    for (int thread = 0; thread < threads; thread++) {
        pthread_join(handles[thread], NULL);
        sum += parts[thread].sum;
    }
    return sum;
}
