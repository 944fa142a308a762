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
namespace avx512_halves {
template <typename T>
const MatrixKernels<T>& matrices();
}

bool supported(BFloat16Way way) {
  switch (way) {
    case BFloat16Way::kFloats: break;
    case BFloat16Way::kPairs: return supported(Isa::kAvx512Bf16);
    case BFloat16Way::kHalves: return supported(Isa::kAvx512Fp16);
  }
  return true;
}

namespace {

// The least of several times that one small product takes, in nanoseconds.
int64_t product_time(BFloat16Way way) {
  using T = c10::BFloat16;
  constexpr int64_t kRowCount = 48, kDepth = 256, kTries = 12;
  const MatrixKernels<T>& table = matrix_kernels<T>(Isa::kAvx512Bf16, way);
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

// They differ by a factor of about two, so that the choice is the same in every run.
BFloat16Way fastest_exact_way() {
  static const BFloat16Way fastest =
      best_isa() >= Isa::kAvx512Bf16 && product_time(BFloat16Way::kPairs) <= product_time(BFloat16Way::kFloats)
          ? BFloat16Way::kPairs
          : BFloat16Way::kFloats;
  return fastest;
}

BFloat16Way fastest_way() {
  static const BFloat16Way fastest =
      best_isa() >= Isa::kAvx512Fp16 && product_time(BFloat16Way::kHalves) <= product_time(fastest_exact_way())
          ? BFloat16Way::kHalves
          : fastest_exact_way();
  return fastest;
}

template <typename T>
const MatrixKernels<T>& matrix_kernels(Isa isa, BFloat16Way way) {
  switch (isa) {
    case Isa::kAvx512Fp16:
    case Isa::kAvx512Bf16:
      switch (way) {
        case BFloat16Way::kFloats: break;
        case BFloat16Way::kPairs: return avx512_pairs::matrices<T>();
        case BFloat16Way::kHalves: return avx512_halves::matrices<T>();
      }
      return avx512_bf16::matrices<T>();
    case Isa::kAvx512: return avx512::matrices<T>();
    case Isa::kAvx2: return avx2::matrices<T>();
    case Isa::kPortable: break;
  }
  return portable::matrices<T>();
}
template const MatrixKernels<float>& matrix_kernels<float>(Isa, BFloat16Way);
template const MatrixKernels<double>& matrix_kernels<double>(Isa, BFloat16Way);
template const MatrixKernels<c10::BFloat16>& matrix_kernels<c10::BFloat16>(Isa, BFloat16Way);

}  // namespace masbak::models::kernels
