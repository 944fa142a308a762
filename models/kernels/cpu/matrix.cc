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
namespace avx512_pairs {
template <typename T>
const MatrixKernels<T>& matrices();
}

bool has_pair_products() {
#if defined(__x86_64__)
  return supported(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

template <typename T>
const MatrixKernels<T>& matrix_kernels(Isa isa, bool pairs) {
  switch (isa) {
    case Isa::kAvx512: return pairs ? avx512_pairs::matrices<T>() : avx512::matrices<T>();
    case Isa::kAvx2: return avx2::matrices<T>();
    case Isa::kPortable: break;
  }
  return portable::matrices<T>();
}
template const MatrixKernels<float>& matrix_kernels<float>(Isa, bool);
template const MatrixKernels<double>& matrix_kernels<double>(Isa, bool);
template const MatrixKernels<c10::BFloat16>& matrix_kernels<c10::BFloat16>(Isa, bool);

}  // namespace masbak::models::kernels
