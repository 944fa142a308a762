// What the bodies of the kernels are written with, on the GPU and on the CPU alike.
//
// A body is a struct with `kThreads` and a function template run(Block&, const Arguments&), which computes what one
// block of the grid does. It never says "thread i": it hands a piece of work to block.each, which does it for all
// threads of the block and then waits for them, so that what one piece wrote to shared memory the next one can
// read. What a thread keeps from one piece to the next lies in a PerThread. On the GPU a thread does its own share
// and __syncthreads() follows (device_block.cuh); in the tests a loop does one thread after another, in
// either order. A block offers:
//
//   x(), y(), z(), x_count()     its place in the grid, and the blocks along x
//   each(work)                   work(thread) for every thread, then a barrier
//   per_thread<T>()              a T of each thread's own
//   shared<T>(bytes)             the shared memory from byte `bytes` on
//   sum(per_thread), largest(per_thread)   over all threads, the same in all of them; in a fixed order
//   add_to(int32_t*, int32_t)    atomic
#pragma once

#include <cstddef>
#include <cstdint>

#include "models/kernels/cuda/kernels.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define MASBAK_DEVICE __device__ __forceinline__
#define MASBAK_UNROLL _Pragma("unroll")
#define MASBAK_ROLL _Pragma("unroll 1")
#else
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "models/checkpoint/float_bits.h"
#define MASBAK_DEVICE inline
#define MASBAK_UNROLL
#define MASBAK_ROLL
#endif

namespace masbak::models::cuda {

// Storage types: computed with as float.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

#if defined(__CUDACC__)

MASBAK_DEVICE float to_float(float value) { return value; }
MASBAK_DEVICE float to_float(BFloat16 value) { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }
MASBAK_DEVICE float to_float(Float16 value) { return __half2float(__ushort_as_half(value.bits)); }
MASBAK_DEVICE void from_float(float value, float& out) { out = value; }
MASBAK_DEVICE void from_float(float value, BFloat16& out) {
  out.bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
MASBAK_DEVICE void from_float(float value, Float16& out) { out.bits = __half_as_ushort(__float2half_rn(value)); }
MASBAK_DEVICE float exponential(float x) { return expf(x); }
MASBAK_DEVICE float logarithm(float x) { return logf(x); }
MASBAK_DEVICE float float_of_bits(uint32_t bits) { return __uint_as_float(bits); }
// Not joined to one operation with a single rounding: the CPU rounds twice.
MASBAK_DEVICE float multiplied(float a, float b) { return __fmul_rn(a, b); }
MASBAK_DEVICE float added(float a, float b) { return __fadd_rn(a, b); }

#else

MASBAK_DEVICE float to_float(float value) { return value; }
MASBAK_DEVICE float to_float(BFloat16 value) { return float_from_bfloat16(value.bits); }
MASBAK_DEVICE float to_float(Float16 value) { return float_from_half(value.bits); }
MASBAK_DEVICE void from_float(float value, float& out) { out = value; }
MASBAK_DEVICE void from_float(float value, BFloat16& out) { out.bits = bfloat16_from_float(value); }
MASBAK_DEVICE void from_float(float value, Float16& out) { out.bits = half_from_float(value); }
MASBAK_DEVICE float exponential(float x) { return std::exp(x); }
MASBAK_DEVICE float logarithm(float x) { return std::log(x); }
MASBAK_DEVICE float float_of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
MASBAK_DEVICE float multiplied(float a, float b) { return a * b; }
MASBAK_DEVICE float added(float a, float b) { return a + b; }

#endif

MASBAK_DEVICE float infinity() { return float_of_bits(0x7f800000); }
MASBAK_DEVICE float not_a_number() { return float_of_bits(0x7fc00000); }

// kWide numbers that memory gives or takes at once.
template <typename T, int kWide>
struct alignas(sizeof(T) * kWide) Pack {
  T at[kWide];
};

#if defined(__CUDACC__)
template <int kWide, typename T>
MASBAK_DEVICE Pack<T, kWide> load(const T* from) {
  return *reinterpret_cast<const Pack<T, kWide>*>(from);
}
template <int kWide, typename T>
MASBAK_DEVICE void store(T* to, const Pack<T, kWide>& pack) {
  *reinterpret_cast<Pack<T, kWide>*>(to) = pack;
}
#else
// A GPU faults where the CPU does not mind; so does the CPU here.
inline void require_alignment(const void* pointer, size_t alignment) {
  if (reinterpret_cast<uintptr_t>(pointer) % alignment == 0) return;
  std::fprintf(stderr, "a kernel touches %p, which is not aligned to %zu bytes\n", pointer, alignment);
  std::abort();
}
template <int kWide, typename T>
MASBAK_DEVICE Pack<T, kWide> load(const T* from) {
  Pack<T, kWide> pack;
  require_alignment(from, alignof(Pack<T, kWide>));
  std::memcpy(&pack, from, sizeof(pack));
  return pack;
}
template <int kWide, typename T>
MASBAK_DEVICE void store(T* to, const Pack<T, kWide>& pack) {
  require_alignment(to, alignof(Pack<T, kWide>));
  std::memcpy(to, &pack, sizeof(pack));
}
#endif

// Of the host, for the launch functions.

struct Grid {
  int64_t x = 1, y = 1, z = 1;
};
// Blocks along x; where there is more work than these, a block takes several pieces.
constexpr int64_t kMostBlocks = int64_t{1} << 20;
constexpr int64_t kMostAlongYZ = 65535;  // blocks along y or z
inline int64_t blocks_for(int64_t pieces) { return pieces < kMostBlocks ? pieces : kMostBlocks; }

inline bool is_aligned(const void* pointer, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(bytes) == 0;
}

// work(T{}) with the storage type; false for a number that names none.
template <typename Work>
bool with_type(Type type, const Work& work) {
  switch (type) {
    case Type::kFloat32: work(float{}); return true;
    case Type::kBFloat16: work(BFloat16{}); return true;
    case Type::kFloat16: work(Float16{}); return true;
  }
  return false;
}

}  // namespace masbak::models::cuda
