#include "models/families/weights.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "models/checkpoint/tensor.h"

namespace masbak::models {
namespace {

std::string with(std::string name, const std::string& place, int64_t number) {
  const size_t at = name.find(place);
  return at == std::string::npos ? name : name.replace(at, place.size(), std::to_string(number));
}

}  // namespace

std::vector<WeightSpec> expand_weight_table(const std::vector<WeightRow>& outside,
                                            const std::vector<WeightBlock>& blocks) {
  std::vector<WeightSpec> specs;
  for (const WeightRow& row : outside) specs.push_back({row.name, row.shape});
  for (const WeightBlock& block : blocks) {
    for (int64_t layer = block.first; layer < block.last; ++layer) {
      for (const WeightRow& row : block.rows) {
        const std::string name = with(row.name, "{}", layer);
        for (int64_t e = 0; e < std::max<int64_t>(row.experts, 1); ++e) {
          specs.push_back({row.experts > 0 ? with(name, "{e}", e) : name, row.shape});
        }
      }
    }
  }
  return specs;
}

int64_t count_parameters(const std::vector<WeightSpec>& table) {
  int64_t count = 0;
  for (const WeightSpec& spec : table) {
    int64_t numbers = 1;
    for (int64_t size : spec.shape) numbers *= size;
    count += numbers;
  }
  return count;
}

WeightReader::WeightReader(const Checkpoint& checkpoint, std::vector<WeightSpec> table, at::ScalarType dtype)
    : checkpoint_(checkpoint), dtype_(dtype) {
  for (WeightSpec& spec : table) shapes_.emplace(std::move(spec.name), std::move(spec.shape));
}

const std::vector<int64_t>& WeightReader::shape(const std::string& name) const {
  const auto found = shapes_.find(name);
  if (found == shapes_.end()) {
    throw base::Error(base::Code::kInternal, "the family's weight table has no line for " + name);
  }
  return found->second;
}

at::Tensor WeightReader::tensor(const std::string& name, at::ScalarType dtype) {
  const TensorView& view = checkpoint_.at(name, shape(name));
  used_.insert(name);
  return map_tensor(view, dtype);
}

std::shared_ptr<Projection> WeightReader::projection(const std::string& prefix) {
  const std::string bias = prefix + ".bias";
  return make_projection(tensor(prefix + ".weight"), in_table(bias) ? tensor(bias) : at::Tensor());
}

std::shared_ptr<ExpertProjection> WeightReader::experts(const std::string& prefix, int64_t count,
                                                        const std::vector<std::string>& parts,
                                                        const std::string& fused) {
  const auto name = [&](int64_t e, const std::string& part) {
    return prefix + "." + std::to_string(e) + "." + part + ".weight";
  };
  int64_t rows = 0;
  for (const std::string& part : parts) rows += shape(name(0, part))[0];
  const int64_t columns = shape(name(0, parts[0]))[1];
  const std::string whole = prefix + "." + fused;
  if (checkpoint_.has(whole)) {
    for (int64_t e = 0; e < count; ++e) {
      for (const std::string& part : parts) used_.insert(name(e, part));
    }
    used_.insert(whole);
    return make_expert_projection(map_tensor(checkpoint_.at(whole, {count, rows, columns}), dtype_));
  }
  at::Tensor joined = at::empty({count, rows, columns}, at::TensorOptions().dtype(dtype_));
  for (int64_t e = 0; e < count; ++e) {
    int64_t begin = 0;
    for (const std::string& part : parts) {
      const TensorView& view = checkpoint_.at(name(e, part), shape(name(e, part)));
      used_.insert(name(e, part));
      joined.select(0, e).narrow(0, begin, view.shape[0]).copy_(map_tensor(view));
      begin += view.shape[0];
    }
  }
  return make_expert_projection(joined);
}

void WeightReader::finish(const std::vector<std::string>& ignored) const {
  for (const auto& [name, shape] : shapes_) {
    if (!used_.count(name)) {
      throw base::Error(base::Code::kInternal, "the family's weight table names " + name + ", which no layer reads");
    }
  }
  int64_t left_out = 0;
  std::string first;
  for (const auto& [name, view] : checkpoint_.tensors()) {
    if (used_.count(name)) continue;
    if (name.ends_with("rotary_emb.inv_freq")) continue;  // older files store what is computed
    const bool on_purpose = std::any_of(ignored.begin(), ignored.end(),
                                        [&name](const std::string& begin) { return name.starts_with(begin); });
    if (!on_purpose) {
      base::fail_input("tensor \"" + name +
                           "\" belongs to no part of the model that config.json describes; remove it, "
                           "or use the config.json that came with these weights",
                       {checkpoint_.folder().string(), 0, name});
    }
    if (left_out++ == 0) first = name;
  }
  if (left_out > 0) {
    base::log_info(std::to_string(left_out) + " tensors are left out, as transformers does (the first is " + first +
                   ")");
  }
}

}  // namespace masbak::models
