// model.safetensors.index.json.
#include "models/checkpoint/shard_index.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace masbak;
  return fuzz::expect_clear_errors([&] {
    for (const auto& [tensor, shard] : models::parse_shard_index(fuzz::text_of(data, size), "index.json")) {
      if (shard.empty() || shard.find('/') != std::string::npos) std::abort();
    }
  });
}
