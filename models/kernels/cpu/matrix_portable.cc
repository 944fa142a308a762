// MatrixKernels for one instruction set; the headers come first so that nothing shared is compiled for it.
#include "models/kernels/cpu/matrix.h"

#pragma GCC push_options
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#define MASBAK_ISA portable
#include "models/kernels/cpu/matrix.inl"
#pragma GCC pop_options
