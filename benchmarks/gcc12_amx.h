/* GCC before 13 tells the optimizer that _tile_loadconfig reads 8 bytes of its 64, so at -O3 most of a configuration
 * is never stored, and llama.cpp's AMX kernels fault. Included before its sources, this says the truth. */
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char(*)[64])(config)))
#endif
