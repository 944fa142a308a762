#include "models/export/export_gguf.h"

#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "models/checkpoint/folder.h"
#include "models/checkpoint/quantised_tensor.h"
#include "models/export/gguf_architecture.h"
#include "models/export/gguf_tensors.h"
#include "models/export/gguf_tokenizer.h"
#include "models/families/blueprint.h"
#include "models/families/weights.h"

namespace masbak::models {
namespace {

struct Kind {
  GgufType type;
  uint32_t file_type;  // general.file_type: what most of the tensors are
};

Kind kind_of(const std::string& name) {
  if (name == "f32") return {GgufType::kF32, 0};
  if (name == "bf16") return {GgufType::kBF16, 32};
  if (name == "q8_0") return {GgufType::kQ8_0, 7};
  base::fail_input("expected f32, bf16 or q8_0, found \"" + name + "\"", {"", 0, "--type"});
}

}  // namespace

ExportResult export_gguf(const ExportOptions& options) {
  const at::NoGradGuard no_grad;
  const Kind kind = kind_of(options.type);
  const base::Fields config = read_model_config(options.model);
  check_quantization_config(config);
  const Blueprint plan = read_blueprint(config);
  const GgufArchitecture architecture = gguf_architecture(plan, config);

  GgufWriter out;
  out.put("general.architecture", architecture.name);
  out.put("general.type", "model");
  out.put("general.name", std::filesystem::absolute(options.model).lexically_normal().filename().string());
  out.put("general.file_type", kind.file_type);
  out.put("general.quantization_version", uint32_t{2});
  put_architecture(plan, config, architecture, out);
  if (options.tokenizer) {
    put_tokenizer(options.model, plan.family, plan.vocabulary, out);
  } else {
    out.put("tokenizer.ggml.model", "no_vocab");
  }
  const Checkpoint checkpoint(options.model);
  WeightReader weights(checkpoint, weight_table(plan), at::kFloat);
  add_tensors(plan, architecture, rope_divisors(plan, config), kind.type, weights, out);
  ExportResult result{plan.family, architecture.name, out.tensors(), 0};
  result.bytes = out.write(options.file);
  return result;
}

}  // namespace masbak::models
