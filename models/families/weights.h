// The disk layout of a family as a table, and reading tensors by it: the one place where a weight's name
// and shape are written down.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "models/checkpoint/safetensors.h"
#include "models/families/causal_model.h"
#include "models/layers/projection.h"

namespace masbak::models {

// One line of a family's table. "{}" in the name is the layer's number; {experts} lines stand for one tensor
// an expert, with "{e}" for its number.
struct WeightRow {
  std::string name;
  std::vector<int64_t> shape;
  int64_t experts = 0;  // 0: one tensor
};

// Lines for the layers [first, last).
struct WeightBlock {
  int64_t first = 0, last = 0;
  std::vector<WeightRow> rows;
};
std::vector<WeightSpec> expand_weight_table(const std::vector<WeightRow>& outside,
                                            const std::vector<WeightBlock>& blocks);

// Reads the tensors of one checkpoint, each checked against the table. After the model is put together, finish()
// refuses what the table names and nothing asked for, and notes tensors of the checkpoint that the table lacks.
class WeightReader {
 public:
  WeightReader(const Checkpoint& checkpoint, std::vector<WeightSpec> table, at::ScalarType dtype);

  bool in_table(const std::string& name) const { return shapes_.count(name) > 0; }
  at::Tensor tensor(const std::string& name) { return tensor(name, dtype_); }
  at::Tensor tensor(const std::string& name, at::ScalarType dtype);
  // "….weight", and "….bias" where the table has one.
  std::shared_ptr<Projection> projection(const std::string& prefix);
  // The experts of one layer, from "`prefix`.{e}.`part`.weight" for each part, joined along the outputs, or from
  // the fused "`prefix`.`fused`" as some write it.
  std::shared_ptr<ExpertProjection> experts(const std::string& prefix, int64_t count,
                                            const std::vector<std::string>& parts, const std::string& fused);
  // `ignored` begins the names that the family leaves out on purpose.
  void finish(const std::vector<std::string>& ignored) const;

 private:
  const std::vector<int64_t>& shape(const std::string& name) const;

  const Checkpoint& checkpoint_;
  std::map<std::string, std::vector<int64_t>> shapes_;
  std::set<std::string> used_;
  at::ScalarType dtype_;
};

int64_t count_parameters(const std::vector<WeightSpec>& table);

}  // namespace masbak::models
