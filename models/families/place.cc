#include "models/families/place.h"

#include "models/families/weights.h"
#include "models/kernels/cuda/library.h"

namespace masbak::models {

void require_device(const std::string& device) { cuda::open(cuda::parse_device(device)); }

std::unique_ptr<CausalModel> load_model_on(const std::string& device, const std::filesystem::path& folder,
                                           const std::string& dtype) {
  const at::Device place = cuda::parse_device(device);
  cuda::open(place);
  const PlaceWeights guard(place);
  return load_model(folder, dtype);
}

}  // namespace masbak::models
