// Left factors of bfloat16 as floats, for right ones that are packed as floats. Part of matrix.inl.

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

constexpr int64_t kLeftRows = 48, kLeftDepth = 128;  // that are converted at once
constexpr int64_t kLeftRoom = kLeftRows * kLeftDepth;

// A row after another, or, where the rows of each pair of the depth lie side by side, number after number of the depth.
MASBAK_INLINE Left<float> left_block(int64_t rows, int64_t depth, Left<c10::BFloat16> a, float* to) {
  if (a.row != kDepthStep<c10::BFloat16>) {
    for (int64_t r = 0; r < rows; ++r) {
      const c10::BFloat16* from = a.data + r * a.row;
      float* row = to + r * kLeftDepth;
      if (a.step == kDepthStep<c10::BFloat16>) {
        for (int64_t k = 0; k < depth; ++k) row[k] = load(from[k]);
      } else {
        for (int64_t k = 0; k < depth; ++k) row[k] = load(from[k / 2 * a.step + k % 2]);
      }
    }
    return {to, kLeftDepth, 1};
  }
  for (int64_t k = 0; k < depth; k += 2) {
    const c10::BFloat16* from = a.data + k / 2 * a.step;
    float *first = to + k * kLeftRows, *second = first + kLeftRows;
    for (int64_t r = 0; r < rows; ++r) first[r] = load(from[2 * r]);
    if (k + 1 == depth) break;
    for (int64_t r = 0; r < rows; ++r) second[r] = load(from[2 * r + 1]);
  }
  return {to, 1, kLeftRows};
}

// Converted rows, kept for several products.
constexpr int64_t converted_size(int64_t depth) { return depth; }
MASBAK_INLINE void convert_row(int64_t depth, const c10::BFloat16* a, float* to) {
  for_wide<float>(depth, [&](int64_t k, int64_t count) __attribute__((always_inline)) {
    store_some(to + k, load_some(a + k, count), count);
  });
}
MASBAK_INLINE Left<float> converted_rows(const float* a, int64_t stride) { return {a, stride, 1}; }

}  // namespace
}  // namespace masbak::models::kernels::MASBAK_ISA
