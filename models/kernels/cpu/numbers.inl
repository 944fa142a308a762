// Reading and writing numbers of any type as the type that sums are in. Compiled once for each instruction set, before
// rows.inl and matrix.inl.

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
template <typename T, typename A>
MASBAK_INLINE A rounded(A x) {
  T as_stored;
  store(as_stored, x);
  return load(as_stored);
}

}  // namespace
}  // namespace masbak::models::kernels::MASBAK_ISA
