// Reading and writing numbers of any type as the type that sums are in, one by one and many at once. Compiled once for
// each instruction set, before rows.inl and matrix.inl. The including file may say how long the target's vectors are
// (MASBAK_VECTOR_BYTES; they are GCC's own), and that it rounds to bfloat16 itself (MASBAK_CONVERTS).

#ifndef MASBAK_VECTOR_BYTES
#define MASBAK_VECTOR_BYTES 16
#endif

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

#define MASBAK_INLINE inline __attribute__((always_inline))

MASBAK_INLINE float load(float x) { return x; }
MASBAK_INLINE double load(double x) { return x; }
MASBAK_INLINE float load(c10::BFloat16 x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x.x) << 16); }

MASBAK_INLINE void store(float& to, float x) { to = x; }
MASBAK_INLINE void store(double& to, double x) { to = x; }
// Round to nearest even. NaN keeps its sign and becomes quiet.
MASBAK_INLINE void store(c10::BFloat16& to, float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  to.x = static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded);
}
// Numbers that are taken at once.
template <typename A>
constexpr int kWide = MASBAK_VECTOR_BYTES / static_cast<int>(sizeof(A));
template <typename A>
struct Vectors;
template <>
struct Vectors<float> {
  typedef float Numbers __attribute__((vector_size(MASBAK_VECTOR_BYTES)));
  typedef int32_t Bits __attribute__((vector_size(MASBAK_VECTOR_BYTES)));
};
template <>
struct Vectors<double> {
  typedef double Numbers __attribute__((vector_size(MASBAK_VECTOR_BYTES)));
  typedef int64_t Bits __attribute__((vector_size(MASBAK_VECTOR_BYTES)));
};
template <typename A>
using Wide = typename Vectors<A>::Numbers;
template <typename A>
using WideBits = typename Vectors<A>::Bits;

template <typename A>
MASBAK_INLINE Wide<A> load_wide(const A* from) {
  Wide<A> v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
template <typename A>
MASBAK_INLINE void store_wide(A* to, Wide<A> v) {
  __builtin_memcpy(to, &v, sizeof v);
}

typedef uint16_t Halves __attribute__((vector_size(MASBAK_VECTOR_BYTES / 2)));
typedef uint32_t Words __attribute__((vector_size(MASBAK_VECTOR_BYTES)));

// Many floats' bits rounded to bfloat16, as one is above.
MASBAK_INLINE Halves rounded_bits(Words bits) {
  const Words rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16, quiet = (bits >> 16) | 0x40u;
  const Words kept = (bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded;
  return __builtin_convertvector(kept, Halves);
}

}  // namespace
}  // namespace masbak::models::kernels::MASBAK_ISA

#include "models/kernels/cpu/instructions.inl"

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

MASBAK_INLINE Wide<float> load_wide(const c10::BFloat16* from) {
  Halves halves;
  __builtin_memcpy(&halves, from, sizeof halves);
  return (Wide<float>)(__builtin_convertvector(halves, Words) << 16);
}
MASBAK_INLINE void store_wide(c10::BFloat16* to, Wide<float> v) {
#ifdef MASBAK_CONVERTS
  const Halves halves = to_bfloat16(v);  // one instruction instead of nine
#else
  const Halves halves = rounded_bits((Words)v);
#endif
  __builtin_memcpy(to, &halves, sizeof halves);
}

// Sums that stay in registers: an initialiser of the array would write zeros to memory first.
template <int rows, int vectors, typename Sums>
MASBAK_INLINE void clear(Sums (&sums)[rows][vectors]) {
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sums[r][v] = Sums{};
  }
}

// Some numbers of T, of which there are `count`: the rest is zero, and is not written.
template <typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE Wide<A> load_some(const T* from, int64_t count) {
  if (count == kWide<A>) return load_wide(from);
  T room[kWide<A>];
  __builtin_memset(static_cast<void*>(room), 0, sizeof room);
  __builtin_memcpy(static_cast<void*>(room), from, count * sizeof(T));
  return load_wide(room);
}
template <typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE void store_some(T* to, Wide<A> v, int64_t count) {
  if (count == kWide<A>) return store_wide(to, v);
  T room[kWide<A>];
  store_wide(room, v);
  __builtin_memcpy(static_cast<void*>(to), room, count * sizeof(T));
}

// As if it were stored.
template <typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE Wide<A> rounded_wide(Wide<A> v) {
  T room[kWide<A>];
  store_wide(room, v);
  return load_wide(room);
}

// Calls body(i, count) for i in steps of kWide; count is less at the end only.
template <typename A, typename Body>
MASBAK_INLINE void for_wide(int64_t size, const Body& body) {
  int64_t i = 0;
  for (; i + kWide<A> <= size; i += kWide<A>) body(i, kWide<A>);
  if (i < size) body(i, size - i);
}

template <typename A>
MASBAK_INLINE A sum_of(Wide<A> v) {
  A lanes[kWide<A>];
  __builtin_memcpy(lanes, &v, sizeof v);
  for (int width = kWide<A> / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] += lanes[l + width];
  }
  return lanes[0];
}

}  // namespace
}  // namespace masbak::models::kernels::MASBAK_ISA
