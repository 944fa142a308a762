#include "models/kernels/cpu/matrix.h"

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

// By the processor's kind, not by a trial: ways round differently, and a trial beside other programs may end either
// way; a resumed run would then not be the same bit for bit.
BFloat16Way fastest_exact_way() {
  const bool pairs = best_isa() >= Isa::kAvx512Bf16 && !supported(BFloat16Way::kHalves);
  return pairs ? BFloat16Way::kPairs : BFloat16Way::kFloats;
}

BFloat16Way fastest_way() { return best_isa() >= Isa::kAvx512Fp16 ? BFloat16Way::kHalves : fastest_exact_way(); }

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
