#include "models/families/weights.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "models/checkpoint/tensor.h"

namespace masbak::models {

std::vector<StoredTensor> stored_tensors(const WeightSpec& spec, const Checkpoint& checkpoint) {
  const StoredTensor whole = {spec.name, spec.shape};
  if (spec.published.empty() || checkpoint.has(spec.name)) return {whole};
  for (const std::vector<StoredTensor>& layout : spec.published) {
    if (checkpoint.has(layout.front().name)) return layout;
  }
  // Nothing is there: the error names what a published file would hold.
  return spec.published.front();
}

bool is_left_out(const std::string& name, const std::vector<std::string>& left_out) {
  return std::any_of(left_out.begin(), left_out.end(),
                     [&name](const std::string& begin) { return name.starts_with(begin); });
}

int64_t count_parameters(const std::vector<WeightSpec>& table) {
  int64_t count = 0;
  for (const WeightSpec& spec : table) {
    int64_t numbers = 1;
    bool over = false;
    for (int64_t size : spec.shape) over |= __builtin_mul_overflow(numbers, size, &numbers);
    if (over || __builtin_add_overflow(count, numbers, &count)) {
      base::fail_input("the sizes in config.json multiply to more weights than a number of 64 bits can count",
                       {"", 0, spec.name});
    }
  }
  return count;
}

WeightReader::WeightReader(const Checkpoint& checkpoint, std::vector<WeightSpec> table, at::ScalarType dtype)
    : checkpoint_(checkpoint), dtype_(dtype) {
  for (WeightSpec& spec : table) {
    const std::string name = spec.name;
    table_.emplace(name, std::move(spec));
  }
}

at::Tensor WeightReader::read(const StoredTensor& stored, at::ScalarType dtype) {
  const TensorView& view = checkpoint_.at(stored.name, stored.shape);
  used_.insert(stored.name);
  return map_tensor(view, dtype);
}

at::Tensor WeightReader::tensor(const std::string& name, at::ScalarType dtype) {
  const auto found = table_.find(name);
  if (found == table_.end()) {
    throw base::Error(base::Code::kInternal, "the family's weight table has no line for " + name);
  }
  const WeightSpec& spec = found->second;
  asked_.insert(name);
  const std::vector<StoredTensor> parts = stored_tensors(spec, checkpoint_);
  if (parts.size() == 1 && parts[0].expert < 0) return read(parts[0], dtype);
  at::Tensor joined = at::empty(spec.shape, at::TensorOptions().dtype(dtype));
  for (const StoredTensor& part : parts) {
    joined.select(0, part.expert).narrow(0, part.row, part.shape[0]).copy_(read(part, dtype));
  }
  return joined;
}

std::shared_ptr<Projection> WeightReader::projection(const std::string& prefix, at::ScalarType dtype) {
  const std::string bias = prefix + ".bias";
  return make_projection(tensor(prefix + ".weight", dtype), in_table(bias) ? tensor(bias, dtype) : at::Tensor());
}

std::shared_ptr<ExpertProjection> WeightReader::experts(const std::string& name) {
  return make_expert_projection(tensor(name));
}

void WeightReader::finish(const std::vector<std::string>& left_out) const {
  for (const auto& [name, spec] : table_) {
    if (!asked_.count(name)) {
      throw base::Error(base::Code::kInternal, "the family's weight table names " + name + ", which no layer reads");
    }
  }
  int64_t count = 0;
  std::string first;
  for (const auto& [name, view] : checkpoint_.tensors()) {
    if (used_.count(name)) continue;
    if (view.numel() == 0) continue;                      // the shared experts of a model that has none
    if (name.ends_with("rotary_emb.inv_freq")) continue;  // older files store what is computed
    if (!is_left_out(name, left_out)) {
      base::fail_input("tensor \"" + name +
                           "\" belongs to no part of the model that config.json describes; remove it, "
                           "or use the config.json that came with these weights",
                       {checkpoint_.folder().string(), 0, name});
    }
    if (count++ == 0) first = name;
  }
  if (count > 0) {
    base::log_info(std::to_string(count) + " tensors are left out, as transformers does (the first is " + first + ")");
  }
}

}  // namespace masbak::models
