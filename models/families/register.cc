// One line a family.
#include "models/families/register.h"

#include "models/families/deepseek_v3/deepseek_v3.h"
#include "models/families/llama/llama.h"

namespace masbak::models {

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      deepseek_v3_family(),
      llama_family(),
  };
  return kFamilies;
}

}  // namespace masbak::models
