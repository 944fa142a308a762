#include "models/kernels/cpu/rows.h"

#include <cstdlib>
#include <string_view>

namespace masbak::models::kernels {

namespace portable {
template <typename T>
const RowKernels<T>& table();
}
namespace avx2 {
template <typename T>
const RowKernels<T>& table();
}
namespace avx512 {
template <typename T>
const RowKernels<T>& table();
}

namespace avx512_bf16 {
template <typename T>
const RowKernels<T>& table();
}

namespace {

// What MASBAK_CPU allows.
Isa most_allowed() {
  const char* wish = std::getenv("MASBAK_CPU");
  const std::string_view limit = wish ? wish : "avx512_fp16";
  if (limit == "avx512_fp16") return Isa::kAvx512Fp16;
  if (limit.starts_with("avx512_")) return Isa::kAvx512Bf16;
  if (limit.starts_with("avx512")) return Isa::kAvx512;
  return limit == "portable" ? Isa::kPortable : Isa::kAvx2;
}

}  // namespace

bool supported(Isa isa) {
#if defined(MASBAK_EMULATED)  // instructions.inl; by a processor that has what MASBAK_CPU says, and no more
  const bool enough = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  return isa == Isa::kPortable || (enough && isa <= most_allowed());
#elif defined(__x86_64__)
  switch (isa) {
    case Isa::kPortable: return true;
    case Isa::kAvx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kAvx512:
      return supported(Isa::kAvx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case Isa::kAvx512Bf16: return supported(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16");
    case Isa::kAvx512Fp16:
#ifdef __clang__  // version 14 does not know the name
      break;
#else
      return supported(Isa::kAvx512Bf16) && __builtin_cpu_supports("avx512fp16");
#endif
  }
#endif
  return isa == Isa::kPortable;
}

Isa best_isa() {
  static const Isa best = [] {
    Isa isa = most_allowed();
    while (!supported(isa)) isa = static_cast<Isa>(static_cast<int>(isa) - 1);
    return isa;
  }();
  return best;
}

template <typename T>
const RowKernels<T>& row_kernels(Isa isa) {
  switch (isa) {
    case Isa::kAvx512Fp16:
    case Isa::kAvx512Bf16: return avx512_bf16::table<T>();
    case Isa::kAvx512: return avx512::table<T>();
    case Isa::kAvx2: return avx2::table<T>();
    case Isa::kPortable: break;
  }
  return portable::table<T>();
}
template const RowKernels<float>& row_kernels<float>(Isa);
template const RowKernels<double>& row_kernels<double>(Isa);
template const RowKernels<c10::BFloat16>& row_kernels<c10::BFloat16>(Isa);

}  // namespace masbak::models::kernels
