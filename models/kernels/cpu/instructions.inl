// Instructions of AVX-512 that GCC's vectors have no expression for. Part of numbers.inl.
//
// With MASBAK_EMULATED, what they compute, by means of AVX2: tests/emulated runs the versions for AVX-512 on processors
// without it too. Not emulated: that the dot product takes numbers below the smallest normal one (1.2e-38) for zero.

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

#ifdef MASBAK_EMULATED
#define MASBAK_INSTRUCTION [[maybe_unused]] __attribute__((noinline))  // a compiler takes minutes for them inlined
#else
#define MASBAK_INSTRUCTION MASBAK_INLINE
#endif

#ifdef MASBAK_CONVERTS
// Rounds to bfloat16 at once; numbers below the smallest normal one become zero.
MASBAK_INSTRUCTION Halves to_bfloat16(Wide<float> v) {
#ifdef MASBAK_EMULATED
  const Words bits = (Words)v;
  return rounded_bits((bits & 0x7FFFFFFFu) < 0x00800000u ? bits & 0x80000000u : bits);
#else
  return (Halves)_mm512_cvtneps_pbh((__m512)v);
#endif
}
#endif

#ifdef MASBAK_PAIR_PRODUCTS
// sums + a[2 i] b[2 i] + a[2 i + 1] b[2 i + 1], of pairs of bfloat16.
MASBAK_INSTRUCTION Wide<float> add_pair_products(Wide<float> sums, Words a, Words b) {
#ifdef MASBAK_EMULATED
  sums += (Wide<float>)(a & 0xFFFF0000u) * (Wide<float>)(b & 0xFFFF0000u);
  return sums + (Wide<float>)(a << 16) * (Wide<float>)(b << 16);
#else
  return (Wide<float>)_mm512_dpbf16_ps((__m512)sums, (__m512bh)a, (__m512bh)b);
#endif
}
#endif

#ifdef MASBAK_HALF_PRODUCTS
#ifdef MASBAK_EMULATED
using Half = uint16_t;  // the bits; C++ has no type without the instructions
#else
using Half = _Float16;
#endif
typedef Half HalfSums __attribute__((vector_size(64)));
constexpr int kHalfLanes = 32;

// A vector of floats as halves; their bits.
MASBAK_INSTRUCTION Halves to_halves(Wide<float> v) {
#ifdef MASBAK_EMULATED
  __m256 parts[2];
  __m128i halves[2];
  __builtin_memcpy(parts, &v, sizeof parts);
  for (int i = 0; i < 2; ++i) halves[i] = _mm256_cvtps_ph(parts[i], _MM_FROUND_TO_NEAREST_INT);
  Halves result;
  __builtin_memcpy(&result, halves, sizeof result);
  return result;
#else
  return (Halves)_mm512_cvtxps_ph((__m512)v);
#endif
}
MASBAK_INSTRUCTION Half to_half(float x) {
#ifdef MASBAK_EMULATED
  return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
#else
  return static_cast<Half>(x);
#endif
}

// The first or the second half of the lanes as floats.
template <int part>
MASBAK_INSTRUCTION Wide<float> to_floats(HalfSums halves) {
#ifdef MASBAK_EMULATED
  __m128i parts[4];
  __builtin_memcpy(parts, &halves, sizeof parts);
  const __m256 floats[2] = {_mm256_cvtph_ps(parts[2 * part]), _mm256_cvtph_ps(parts[2 * part + 1])};
  Wide<float> result;
  __builtin_memcpy(&result, floats, sizeof result);
  return result;
#else
  const __m512d bits = (__m512d)halves;
  if constexpr (part == 0) return (Wide<float>)_mm512_cvtxph_ps((__m256h)_mm512_castpd512_pd256(bits));
  return (Wide<float>)_mm512_cvtxph_ps((__m256h)_mm512_extractf64x4_pd(bits, 1));
#endif
}

// sums + a * b, rounded once to halves.
MASBAK_INSTRUCTION HalfSums add_half_products(HalfSums sums, HalfSums a, HalfSums b) {
#ifdef MASBAK_EMULATED
  __m128i parts[4], left[4], right[4];
  __builtin_memcpy(parts, &sums, sizeof parts);
  __builtin_memcpy(left, &a, sizeof left);
  __builtin_memcpy(right, &b, sizeof right);
  for (int i = 0; i < 4; ++i) {
    const __m256 sum = _mm256_cvtph_ps(parts[i]) + _mm256_cvtph_ps(left[i]) * _mm256_cvtph_ps(right[i]);
    parts[i] = _mm256_cvtps_ph(sum, _MM_FROUND_TO_NEAREST_INT);
  }
  __builtin_memcpy(&sums, parts, sizeof sums);
  return sums;
#else
  return sums + a * b;
#endif
}

MASBAK_INSTRUCTION uint32_t largest_lane(Words v) {
#ifdef MASBAK_EMULATED
  uint32_t most = 0;
  for (int l = 0; l < kWide<float>; ++l) most = v[l] > most ? v[l] : most;
  return most;
#else
  return _mm512_reduce_max_epu32((__m512i)v);
#endif
}

// The lanes of the mask's bits alone; the rest is zero, and neither read nor written.
MASBAK_INSTRUCTION Wide<float> load_lanes(uint16_t mask, const float* from) {
#ifdef MASBAK_EMULATED
  Wide<float> v = {};
  for (int l = 0; l < kWide<float>; ++l) {
    if (mask >> l & 1) v[l] = from[l];
  }
  return v;
#else
  return (Wide<float>)_mm512_maskz_loadu_ps(mask, from);
#endif
}
MASBAK_INSTRUCTION void store_lanes(uint16_t mask, float* to, Wide<float> v) {
#ifdef MASBAK_EMULATED
  for (int l = 0; l < kWide<float>; ++l) {
    if (mask >> l & 1) to[l] = v[l];
  }
#else
  _mm512_mask_storeu_ps(to, mask, (__m512)v);
#endif
}
#endif

}  // namespace
}  // namespace masbak::models::kernels::MASBAK_ISA
