// Weights stored small: which scales lie beside them, of what shape, and every number widened.
#include "models/checkpoint/quantised_tensor.h"

#include "tests/fuzz/harness.h"

namespace {

// A folder whose model.safetensors is the input.
class ModelFolder {
 public:
  explicit ModelFolder(std::string_view weights) {
    std::string name = std::filesystem::temp_directory_path() / "masbak-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
    masbak::base::write_file_durably(path_ / "model.safetensors", weights);
  }
  ~ModelFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace masbak;
  const ModelFolder folder(fuzz::text_of(data, size));
  return fuzz::expect_clear_errors([&] {
    const models::Checkpoint checkpoint(folder.path());
    const models::WeightFiles files(checkpoint);
    for (const auto& [name, view] : checkpoint.tensors()) {
      if (models::companions(files, name).empty()) continue;
      const std::vector<int64_t> shape = models::stored_shape(files, name);
      const auto small = models::open_quantised(files, name, shape);
      if (!small) continue;
      int64_t count = 1;
      for (const int64_t length : shape) count *= length;
      std::vector<float> numbers(count);
      if (count > 0) small->widen(0, count, numbers.data());
    }
  });
}
