// From a model folder to a model.
#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "models/checkpoint/folder.h"
#include "models/families/causal_model.h"
#include "models/families/config.h"
#include "models/families/describe.h"
#include "models/families/register.h"
#include "models/families/weights.h"

namespace masbak::models {
namespace {

at::ScalarType choose_dtype(const base::Fields& config, const std::string& wish) {
  if (wish == "float32") return at::kFloat;
  if (wish == "bfloat16") return at::kBFloat16;
  if (wish != "auto") base::fail_input("dtype must be float32, bfloat16 or auto, found \"" + wish + "\"");
  const std::string stored = stored_dtype(config);
  if (stored == "bfloat16") return at::kBFloat16;
  if (stored == "float32") return at::kFloat;
  if (stored == "float16") {
    base::log_info("the model is stored in float16 and computed in float32");
    return at::kFloat;
  }
  config.fail("dtype", "expected float32, bfloat16 or float16, found \"" + stored + "\"");
}

// The classes that the model says it is: `architectures`, and the one of its own code that auto_map names
// ("modeling_deepseek.DeepseekV3ForCausalLM").
std::vector<std::string> class_names(const base::Fields& config) {
  auto names = config.get<std::vector<std::string>>("architectures", {});
  const base::Json& map = config.raw("auto_map");
  if (map.is_object() && map.contains("AutoModelForCausalLM") && map["AutoModelForCausalLM"].is_string()) {
    const auto name = map["AutoModelForCausalLM"].get<std::string>();
    names.push_back(name.substr(name.rfind('.') + 1));
  }
  return names;
}

}  // namespace

const Family& find_family(const base::Fields& config) {
  const std::string type = config.get<std::string>("model_type", "");
  const auto among = [](const std::vector<std::string>& names, const std::string& name) {
    return std::count(names.begin(), names.end(), name) > 0;
  };
  std::string known;
  for (const Family& family : families()) {
    if (family.name == type || among(family.other_names, type)) return family;
    known += (known.empty() ? "" : ", ") + family.name;
  }
  for (const std::string& architecture : class_names(config)) {
    for (const Family& family : families()) {
      if (among(family.architectures, architecture)) return family;
    }
  }
  throw base::Error(base::Code::kUnimplemented,
                    "models of type \"" + type + "\" are not implemented; there are " + known,
                    config.where("model_type"));
}

std::unique_ptr<CausalModel> load_model(const std::filesystem::path& folder, const std::string& dtype) {
  const base::Fields config = read_model_config(folder);
  const Family& family = find_family(config);
  family.describe(config);  // refuses a bad configuration before any file of weights is opened
  const Checkpoint checkpoint(folder);
  return family.load(config, checkpoint, choose_dtype(config, dtype));
}

std::unique_ptr<CausalModel> describe_model(const std::filesystem::path& folder) {
  const base::Fields config = read_model_config(folder);
  const Family& family = find_family(config);
  family.describe(config);
  const Checkpoint checkpoint(folder);
  const DescribeOnly guard;
  return family.load(config, checkpoint, at::kBFloat16);
}

std::unique_ptr<CausalModel> load_first_layers(const std::filesystem::path& folder, const std::string& dtype,
                                               int64_t layers) {
  const base::Fields whole = read_model_config(folder);
  base::Json json = whole.json();
  json["num_hidden_layers"] = layers;
  json.erase("num_nextn_predict_layers");
  const base::Fields config = base::Fields::from_json(json, whole.where().file);
  const Family& family = find_family(config);
  family.describe(config);
  const Checkpoint checkpoint = Checkpoint(folder).first_layers(layers);
  return family.load(config, checkpoint, choose_dtype(config, dtype));
}

}  // namespace masbak::models
