// A safetensors file: header, offsets, and every byte that the header lets a reader touch.
#include "models/checkpoint/safetensors.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace masbak;
  return fuzz::expect_clear_errors([&] {
    const fuzz::MemoryFile file(fuzz::text_of(data, size));
    std::map<std::string, std::string> metadata;
    unsigned sum = 0;
    for (const models::TensorView& view : models::read_safetensors(file.path(), &metadata)) {
      for (const char byte : view.bytes) sum += static_cast<unsigned char>(byte);
      if (view.numel() * static_cast<int64_t>(models::dtype_bytes(view.dtype)) !=
          static_cast<int64_t>(view.bytes.size())) {
        std::abort();
      }
    }
    volatile unsigned kept = sum;
    (void)kept;
  });
}
