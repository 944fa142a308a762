#include "models/checkpoint/adopt/adopt.h"

#include "base/durable_file.h"
#include "models/checkpoint/adopt/tokenizer_files.h"
#include "models/checkpoint/float_bits.h"

namespace masbak::models {
namespace {

using base::Json;

TensorToProduce to_file(const LazyTensor& tensor, Dtype dtype) {
  const Dtype stored = tensor.keep_float32 ? Dtype::kF32 : dtype;
  return {tensor.name, stored, tensor.shape, [numbers = tensor.numbers, stored](const ByteSink& sink) {
            const std::vector<float> values = numbers();
            if (stored == Dtype::kF32) {
              sink({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
              return;
            }
            std::vector<uint16_t> rounded(values.size());
            for (size_t i = 0; i < values.size(); ++i) rounded[i] = bfloat16_from_float(values[i]);
            sink({reinterpret_cast<const char*>(rounded.data()), rounded.size() * sizeof(uint16_t)});
          }};
}

void write_json(const std::filesystem::path& file, const Json& json, int indent) {
  try {
    base::write_file_durably(file, json.dump(indent) + "\n");
  } catch (const Json::exception&) {
    // nlohmann refuses to write what is not UTF-8: a token or a template of the source is damaged.
    base::fail_input("the GGUF file's metadata hold text that is not UTF-8, which " + file.filename().string() +
                     " cannot hold");
  }
}

Json generation_config(const Json& config) {
  return {{"_from_model_config", true},
          {"bos_token_id", config["bos_token_id"]},
          {"eos_token_id", config["eos_token_id"]},
          {"pad_token_id", config["pad_token_id"]}};
}

}  // namespace

AdoptResult adopt(const AdoptOptions& options) {
  if (options.dtype != Dtype::kBF16 && options.dtype != Dtype::kF32) {
    base::fail_input("the weights can be written as bfloat16 or float32", {"", 0, "--dtype"});
  }
  if (options.family != "llama" && options.family != "deepseek_v3") {
    base::fail_input("the family must be llama or deepseek_v3, found \"" + options.family + "\"", {"", 0, "--family"});
  }
  const GgufFile file(options.file);
  const DenseLlama dense(file);
  Json tokenizer = tokenizer_json(file);
  if (static_cast<int64_t>(tokenizer["model"]["vocab"].size()) > dense.vocabulary) {
    base::fail_input("the tokenizer has more tokens than the embedding's " + std::to_string(dense.vocabulary) + " rows",
                     {options.file.string(), 0, "tokenizer.ggml.tokens"});
  }
  Json config;
  std::vector<LazyTensor> tensors;
  std::unique_ptr<DeepseekRewrite> rewrite;  // its tensors refer to it
  if (options.family == "llama") {
    config = llama_config(dense);
    tensors = llama_tensors(dense);
  } else {
    rewrite = std::make_unique<DeepseekRewrite>(dense, options.experts);
    config = rewrite->config();
    tensors = rewrite->tensors();
  }
  config["dtype"] = options.dtype == Dtype::kF32 ? "float32" : "bfloat16";

  base::DurableFolder folder(options.folder);
  AdoptResult result{options.family};
  std::vector<TensorToProduce> producers;
  for (const LazyTensor& tensor : tensors) {
    producers.push_back(to_file(tensor, options.dtype));
    int64_t numbers = 1;
    for (int64_t size : tensor.shape) numbers *= size;
    result.parameters += numbers;
    result.weights_bytes += numbers * dtype_bytes(producers.back().dtype);
  }
  write_json(folder.path() / "config.json", config, 2);
  write_json(folder.path() / "generation_config.json", generation_config(config), 2);
  write_json(folder.path() / "tokenizer.json", tokenizer, -1);
  write_json(folder.path() / "tokenizer_config.json", tokenizer_config_json(file, dense.max_positions), 2);
  stream_safetensors(folder.path() / "model.safetensors", producers);
  folder.commit();
  return result;
}

}  // namespace masbak::models
