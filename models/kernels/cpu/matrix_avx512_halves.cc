// MatrixKernels for one instruction set; the headers come first so that nothing shared is compiled for it.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC 12's own immintrin.h (GCC bug 105593)
#include <immintrin.h>

#include "models/kernels/cpu/matrix.h"

#pragma GCC push_options
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#ifdef MASBAK_EMULATED
#pragma GCC optimize("O1")  // more takes minutes to compile
#pragma GCC target("avx2,fma,f16c")
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512fp16,prefer-vector-width=512")
#endif
#ifndef __clang__  // which passes over the pragmas above
#define MASBAK_CONVERTS
#define MASBAK_HALF_PRODUCTS
#endif
#define MASBAK_VECTOR_BYTES 64
#define MASBAK_ISA avx512_halves
#include "models/kernels/cpu/matrix.inl"
#pragma GCC pop_options
