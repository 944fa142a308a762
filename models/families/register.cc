// One line a family.
#include "models/families/register.h"

#include "base/error.h"
#include "models/families/deepseek_v2/deepseek_v2.h"
#include "models/families/deepseek_v3/deepseek_v3.h"
#include "models/families/glm4_moe_lite/glm4_moe_lite.h"
#include "models/families/granite/granite.h"
#include "models/families/granitemoe/granitemoe.h"
#include "models/families/llama/llama.h"
#include "models/families/mixtral/mixtral.h"
#include "models/families/olmoe/olmoe.h"
#include "models/families/qwen3_moe/qwen3_moe.h"

namespace masbak::models {

namespace {

const std::vector<BlueprintFamily>& all() {
  static const std::vector<BlueprintFamily> kFamilies = {
      deepseek_v2_family(), deepseek_v3_family(), glm4_moe_lite_family(), granite_family(),   granitemoe_family(),
      llama_family(),       mixtral_family(),     olmoe_family(),         qwen3_moe_family(),
  };
  return kFamilies;
}

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = [] {
    std::vector<Family> list;
    for (const BlueprintFamily& entry : all()) list.push_back(entry.family);
    return list;
  }();
  return kFamilies;
}

Blueprint read_blueprint(const base::Fields& config) {
  const std::string name = find_family(config).name;
  for (const BlueprintFamily& entry : all()) {
    if (entry.family.name == name) return entry.blueprint(config);
  }
  throw base::Error(base::Code::kInternal, "a family without a line in register.cc: " + name);
}

}  // namespace masbak::models
