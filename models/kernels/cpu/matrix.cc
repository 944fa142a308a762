#include "models/kernels/cpu/matrix.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

namespace masbak::models::kernels {

namespace portable {
template <typename T>
const MatrixKernels<T>& matrices();
}
namespace avx2 {
template <typename T>
const MatrixKernels<T>& matrices();
}
namespace avx512 {
template <typename T>
const MatrixKernels<T>& matrices();
}
namespace avx512_bf16 {
template <typename T>
const MatrixKernels<T>& matrices();
}
namespace avx512_pairs {
template <typename T>
const MatrixKernels<T>& matrices();
}

bool has_pair_products() { return supported(Isa::kAvx512Bf16); }

namespace {

// The least of several times that one small product takes, in nanoseconds.
int64_t product_time(bool pairs) {
  using T = c10::BFloat16;
  constexpr int64_t kRowCount = 48, kDepth = 256, kTries = 12;
  const MatrixKernels<T>& table = matrix_kernels<T>(Isa::kAvx512Bf16, pairs);
  const std::vector<T> a(kRowCount * kDepth, T(1)), b(kDepth * kPanel, T(1));
  alignas(64) T packed[packed_size<T>(kDepth, kPanel)];
  std::vector<float> c(kRowCount * kPanel);
  table.pack(kDepth, kPanel, b.data(), kPanel, packed);
  int64_t least = std::numeric_limits<int64_t>::max();
  for (int64_t i = 0; i < kTries; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    table.multiply(kRowCount, kPanel, kDepth, {a.data(), kDepth}, packed, panel_size<T>(kDepth), false, c.data(),
                   kPanel);
    const auto time = std::chrono::steady_clock::now() - begin;
    least = std::min<int64_t>(least, std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
  }
  return least;
}

}  // namespace

// The two differ by a factor of about two, either way, so that the choice is the same in every run.
bool pairs_are_faster() {
  static const bool faster = has_pair_products() && product_time(true) <= product_time(false);
  return faster;
}

template <typename T>
const MatrixKernels<T>& matrix_kernels(Isa isa, bool pairs) {
  switch (isa) {
    case Isa::kAvx512Bf16: return pairs ? avx512_pairs::matrices<T>() : avx512_bf16::matrices<T>();
    case Isa::kAvx512: return avx512::matrices<T>();
    case Isa::kAvx2: return avx2::matrices<T>();
    case Isa::kPortable: break;
  }
  return portable::matrices<T>();
}
template const MatrixKernels<float>& matrix_kernels<float>(Isa, bool);
template const MatrixKernels<double>& matrix_kernels<double>(Isa, bool);
template const MatrixKernels<c10::BFloat16>& matrix_kernels<c10::BFloat16>(Isa, bool);

}  // namespace masbak::models::kernels
