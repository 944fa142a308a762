// MatrixKernels for one instruction set; the headers come first so that nothing shared is compiled for it.
#include "models/kernels/cpu/matrix.h"

#pragma GCC push_options
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#ifdef MASBAK_EMULATED
#pragma GCC optimize("O1")  // more takes minutes to compile
#pragma GCC target("avx2,fma,f16c")
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")
#endif
#define MASBAK_VECTOR_BYTES 64
#define MASBAK_ISA avx512
#include "models/kernels/cpu/matrix.inl"
#pragma GCC pop_options
