#include "models/checkpoint/quantise.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <set>

#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/folder.h"
#include "models/checkpoint/quantised_tensor.h"
#include "models/checkpoint/tensor.h"
#include "models/families/causal_model.h"
#include "models/families/config.h"
#include "models/families/weights.h"

namespace masbak::models {
namespace {

using base::Json;

constexpr int64_t kBlock = 64, kNestedBlock = 256;
constexpr int64_t kPieceNumbers = int64_t{1} << 22;  // a multiple of both

// The numbers of a tensor to quantise, in float32 pieces.
class Source {
 public:
  Source(const WeightFiles& files, const StoredTensor& stored)
      : name_(stored.name), small_(open_quantised(files, stored.name, stored.shape)), shape_(stored.shape) {
    if (!small_) plain_ = map_tensor(files.at(stored.name, stored.shape)).flatten();
  }
  const std::vector<int64_t>& shape() const { return shape_; }
  int64_t count() const {
    int64_t count = 1;
    for (const int64_t size : shape_) count *= size;
    return count;
  }
  // Calls `take` with consecutive pieces whose sizes are multiples of `unit`, but for the last.
  void read(int64_t unit, const std::function<void(const float*, int64_t)>& take) const {
    const int64_t piece = std::max<int64_t>(1, kPieceNumbers / unit) * unit;
    for (int64_t begin = 0; begin < count(); begin += piece) {
      const int64_t size = std::min(piece, count() - begin);
      at::Tensor numbers;
      if (small_) {
        numbers = at::empty({size}, at::TensorOptions().dtype(at::kFloat));
        small_->widen_into(numbers, begin);
      } else {
        numbers = plain_.narrow(0, begin, size).to(at::kFloat).contiguous();
      }
      take(numbers.const_data_ptr<float>(), size);
    }
  }
  // The largest size of the numbers of each block.
  std::vector<float> absmax(int64_t block) const {
    std::vector<float> largest;
    read(block, [&](const float* numbers, int64_t size) {
      for (int64_t begin = 0; begin < size; begin += block) {
        float most = 0;
        for (int64_t i = begin; i < std::min(begin + block, size); ++i) {
          if (!std::isfinite(numbers[i])) {
            base::fail_input("a weight is no finite number and cannot be quantised; the file is damaged",
                             {"", 0, name_});
          }
          most = std::max(most, std::abs(numbers[i]));
        }
        largest.push_back(most);
      }
    });
    return largest;
  }

 private:
  std::string name_;
  std::shared_ptr<const QuantisedTensor> small_;
  at::Tensor plain_;
  std::vector<int64_t> shape_;
};

// The 256 values for scales (Dettmers et al. 2022, "8-bit optimizers via block-wise quantization", section 2.1: dynamic
// tree quantisation): seven decades, in each twice as many values as in the one below; zero and one.
const std::vector<float>& dynamic_values() {
  static const std::vector<float> kValues = [] {
    std::vector<float> values{0.0F, 1.0F};
    for (int decade = 0; decade < 7; ++decade) {
      const int steps = 1 << decade;
      for (int i = 0; i < steps; ++i) {
        const double mean = 0.1 + 0.9 * (i + 0.5) / steps;
        const auto value = static_cast<float>(std::pow(10.0, decade - 6) * mean);
        values.push_back(value);
        values.push_back(-value);
      }
    }
    std::sort(values.begin(), values.end());
    return values;
  }();
  return kValues;
}

// The index of the nearest of sorted values.
uint8_t nearest(const float* values, int64_t count, float number) {
  const auto after = std::lower_bound(values, values + count, number) - values;
  if (after == 0) return 0;
  if (after == count) return static_cast<uint8_t>(count - 1);
  return static_cast<uint8_t>(number - values[after - 1] <= values[after] - number ? after - 1 : after);
}

struct NestedScales {
  std::vector<uint8_t> codes;
  std::vector<float> absmax;
  float offset = 0;
};

NestedScales nest(const std::vector<float>& scales) {
  NestedScales nested;
  double sum = 0;
  for (const float scale : scales) sum += scale;
  nested.offset = static_cast<float>(sum / static_cast<double>(std::max<size_t>(scales.size(), 1)));
  const std::vector<float>& table = dynamic_values();
  for (size_t begin = 0; begin < scales.size(); begin += kNestedBlock) {
    const size_t end = std::min(scales.size(), begin + kNestedBlock);
    float most = 0;
    for (size_t i = begin; i < end; ++i) most = std::max(most, std::abs(scales[i] - nested.offset));
    nested.absmax.push_back(most);
    for (size_t i = begin; i < end; ++i) {
      const float number = most > 0 ? (scales[i] - nested.offset) / most : 0;
      nested.codes.push_back(nearest(table.data(), static_cast<int64_t>(table.size()), number));
    }
  }
  return nested;
}

std::string_view bytes_of(const auto& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(numbers[0])};
}

TensorToProduce holding(std::string name, Dtype dtype, std::vector<int64_t> shape, std::string bytes) {
  return {std::move(name), dtype, std::move(shape), [bytes = std::move(bytes)](const ByteSink& sink) { sink(bytes); }};
}

void add_nf4(const std::string& name, const std::shared_ptr<Source>& source, std::vector<TensorToProduce>& list) {
  const auto scales = std::make_shared<const std::vector<float>>(source->absmax(kBlock));
  const NestedScales nested = nest(*scales);
  const Json state{{"quant_type", "nf4"},
                   {"blocksize", kBlock},
                   {"dtype", "bfloat16"},
                   {"shape", source->shape()},
                   {"nested_blocksize", kNestedBlock},
                   {"nested_dtype", "float32"},
                   {"nested_offset", nested.offset}};
  const std::string text = state.dump();
  const auto length = [](size_t size) { return std::vector<int64_t>{static_cast<int64_t>(size)}; };
  list.push_back(
      holding(name + ".absmax", Dtype::kU8, length(nested.codes.size()), std::string(bytes_of(nested.codes))));
  list.push_back(holding(name + ".nested_absmax", Dtype::kF32, length(nested.absmax.size()),
                         std::string(bytes_of(nested.absmax))));
  list.push_back(holding(name + ".nested_quant_map", Dtype::kF32, {256}, std::string(bytes_of(dynamic_values()))));
  list.push_back(
      holding(name + ".quant_map", Dtype::kF32, {16}, {reinterpret_cast<const char*>(kNf4Values), sizeof(kNf4Values)}));
  list.push_back(holding(name + ".quant_state.bitsandbytes__nf4", Dtype::kU8, length(text.size()), text));
  list.push_back({name, Dtype::kU8, {(source->count() + 1) / 2, 1}, [source, scales](const ByteSink& sink) {
                    size_t block = 0;
                    source->read(kBlock, [&](const float* numbers, int64_t size) {
                      std::vector<uint8_t> codes((size + 1) / 2);
                      for (int64_t i = 0; i < size; ++i) {
                        const float scale = (*scales)[block + i / kBlock];
                        const uint8_t code = nearest(kNf4Values, 16, scale > 0 ? numbers[i] / scale : 0.0F);
                        codes[i / 2] |= i % 2 ? code : code << 4;
                      }
                      block += (size + kBlock - 1) / kBlock;
                      sink(bytes_of(codes));
                    });
                  }});
}

void add_int8(const std::string& name, const std::shared_ptr<Source>& source, std::vector<TensorToProduce>& list) {
  const int64_t columns = source->shape().back();
  const auto scales = std::make_shared<const std::vector<float>>(source->absmax(columns));
  std::vector<int64_t> rows(source->shape().begin(), source->shape().end() - 1);
  const std::string stem = name.ends_with(".weight") ? name.substr(0, name.size() - 7) : name;
  list.push_back(holding(stem + ".SCB", Dtype::kF32, rows, std::string(bytes_of(*scales))));
  list.push_back(holding(stem + ".weight_format", Dtype::kU8, {}, std::string(1, '\0')));  // 0: by rows
  list.push_back({name, Dtype::kI8, source->shape(), [source, scales, columns](const ByteSink& sink) {
                    size_t row = 0;
                    source->read(columns, [&](const float* numbers, int64_t size) {
                      std::vector<int8_t> codes(size);
                      for (int64_t i = 0; i < size; ++i) {
                        const float scale = (*scales)[row + i / columns];
                        codes[i] = static_cast<int8_t>(scale > 0 ? std::nearbyint(numbers[i] * (127.0F / scale)) : 0);
                      }
                      row += size / columns;
                      sink(bytes_of(codes));
                    });
                  }});
}

// transformers 5 names: what projections and experts are called in every family; neither head nor router nor norm.
bool becomes_small(const WeightSpec& spec) {
  if (spec.shape.size() < 2 || spec.name.find("layers.") == std::string::npos) return false;
  return spec.name.ends_with("_proj") || spec.name.ends_with("_proj.weight") ||
         spec.name.ends_with("_proj_with_mqa.weight");
}

Json quantization_config(const std::string& to) {
  const bool nf4 = to == "nf4";
  return {{"quant_method", "bitsandbytes"},
          {"load_in_4bit", nf4},
          {"load_in_8bit", !nf4},
          {"_load_in_4bit", nf4},
          {"_load_in_8bit", !nf4},
          {"bnb_4bit_compute_dtype", "bfloat16"},
          {"bnb_4bit_quant_storage", "uint8"},
          {"bnb_4bit_quant_type", nf4 ? "nf4" : "fp4"},
          {"bnb_4bit_use_double_quant", nf4},
          {"llm_int8_enable_fp32_cpu_offload", false},
          {"llm_int8_has_fp16_weight", false},
          {"llm_int8_skip_modules", {"lm_head"}},
          {"llm_int8_threshold", 0.0}};
}

void refuse_small_already(const base::Fields& config) {
  if (!config.has("quantization_config")) return;
  if (config.child("quantization_config").get<std::string>("quant_method", "") == "fp8") return;
  throw base::Error(base::Code::kFailedPrecondition,
                    "the model is quantised already; quantise the model that it was made from",
                    config.where("quantization_config"));
}

// What quantise_model puts in the place of the checkpoint's tensors, for each shard.
class Conversion {
 public:
  Conversion(const QuantiseOptions& options, const Checkpoint& checkpoint)
      : options_(options), checkpoint_(checkpoint), files_(checkpoint) {}

  void plan(const std::vector<WeightSpec>& table) {
    for (const WeightSpec& spec : table) {
      if (!becomes_small(spec)) continue;
      for (const StoredTensor& stored : stored_tensors(spec, checkpoint_)) {
        check_stored(files_, stored.name, stored.shape);
        small_.emplace(stored.name, stored);
        for (const std::string& beside : companions(files_, stored.name)) dropped_.insert(beside);
      }
    }
  }

  void write(const std::filesystem::path& out, QuantiseResult& result) {
    std::map<std::string, std::vector<const TensorView*>> shards;
    for (const auto& [name, view] : checkpoint_.tensors()) {
      shards[view.file->path().filename().string()].push_back(&view);
      result.weights_bytes_before += view.bytes.size();
    }
    Json map = Json::object();
    auto& entries = map.get_ref<Json::object_t&>();  // appended directly: a look-up by key is linear
    for (const auto& [file, views] : shards) {
      const std::vector<TensorToProduce> list = tensors(views);
      for (const TensorToProduce& tensor : list) {
        entries.push_back({tensor.name, file});
        uint64_t bytes = dtype_bytes(tensor.dtype);
        for (const int64_t size : tensor.shape) bytes *= size;
        result.weights_bytes += bytes;
      }
      stream_safetensors(out / file, list);
    }
    result.quantised_tensors = static_cast<int64_t>(small_.size());
    if (shards.size() == 1 && shards.begin()->first == "model.safetensors") return;
    const Json index{{"metadata", {{"total_size", result.weights_bytes}}}, {"weight_map", map}};
    base::write_file_durably(out / "model.safetensors.index.json", index.dump(2) + "\n");
  }

 private:
  std::vector<TensorToProduce> tensors(const std::vector<const TensorView*>& views) const {
    std::vector<TensorToProduce> list;
    for (const TensorView* view : views) {
      if (dropped_.count(view->name)) continue;
      const auto small = small_.find(view->name);
      if (small == small_.end()) {
        list.push_back({view->name, view->dtype, view->shape, [view](const ByteSink& sink) { sink(view->bytes); }});
        continue;
      }
      const auto source = std::make_shared<Source>(files_, small->second);
      options_.to == "nf4" ? add_nf4(view->name, source, list) : add_int8(view->name, source, list);
    }
    return list;
  }

  const QuantiseOptions& options_;
  const Checkpoint& checkpoint_;
  WeightFiles files_;
  std::map<std::string, StoredTensor> small_;
  std::set<std::string> dropped_;  // scales of FP8 weights
};

}  // namespace

QuantiseResult quantise_model(const QuantiseOptions& options) {
  if (options.to != "nf4" && options.to != "int8") {
    base::fail_input("expected nf4 or int8, found \"" + options.to + "\"", {"", 0, "--to"});
  }
  const base::Fields config = read_model_config(options.model);
  const Family& family = find_family(config);
  QuantiseResult result;
  result.family = family.describe(config).family;
  refuse_small_already(config);
  base::DurableFolder folder(options.folder);
  const Checkpoint checkpoint(options.model);
  Conversion conversion(options, checkpoint);
  conversion.plan(family.weights(config));
  conversion.write(folder.path(), result);
  for (const auto& entry : std::filesystem::directory_iterator(options.model)) {
    const std::string name = entry.path().filename().string();
    const bool replaced = name == "config.json" || name.ends_with(".safetensors") || name.ends_with(".bin") ||
                          name.ends_with(".index.json");
    if (!entry.is_regular_file() || replaced || name.starts_with('.')) continue;
    base::write_file_durably(folder.path() / name, base::read_file(entry.path()));
  }
  Json written = config.json();
  written["quantization_config"] = quantization_config(options.to);
  base::write_file_durably(folder.path() / "config.json", written.dump(2) + "\n");
  folder.commit();
  return result;
}

}  // namespace masbak::models
