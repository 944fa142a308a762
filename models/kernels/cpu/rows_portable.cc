// RowKernels for one instruction set; the headers come first so that nothing shared is compiled for it.
#include "models/kernels/cpu/rows.h"

#pragma GCC push_options
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#define MASBAK_ISA portable
#include "models/kernels/cpu/rows.inl"
#pragma GCC pop_options
