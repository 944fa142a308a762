// A GGUF file: metadata, tensor table, and the numbers of each tensor.
#include "models/checkpoint/gguf.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace masbak;
  return fuzz::expect_clear_errors([&] {
    const fuzz::MemoryFile input(fuzz::text_of(data, size));
    const models::GgufFile file(input.path());
    for (const auto& [name, tensor] : file.tensors()) {
      if (static_cast<int64_t>(models::dequantise(tensor).size()) != tensor.numel()) std::abort();
    }
  });
}
