// RowKernels for one instruction set; the headers come first so that nothing shared is compiled for it.
#include "models/kernels/cpu/rows.h"

#pragma GCC push_options
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#pragma GCC target("avx2,fma")
#define MASBAK_VECTOR_BYTES 32
#define MASBAK_ISA avx2
#include "models/kernels/cpu/rows.inl"
#pragma GCC pop_options
