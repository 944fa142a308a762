// Reading weights by a family's table: the one place where files and table meet.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "models/checkpoint/quantised_tensor.h"
#include "models/checkpoint/safetensors.h"
#include "models/families/causal_model.h"
#include "models/layers/projection.h"

namespace masbak::models {

// The tensors that hold a weight in this checkpoint: the weight itself under its name, else the published layout that
// is there. NOT_FOUND with the name if none is; their shapes are not checked.
std::vector<StoredTensor> stored_tensors(const WeightSpec& spec, const Checkpoint& checkpoint);

// Whether the name belongs to what the family leaves out on purpose.
bool is_left_out(const std::string& name, const std::vector<std::string>& left_out);

// While one lives, the WeightReaders of its thread read no file and give tensors of the meta device: shape and type
// alone. What torch.device("meta") is in Python.
class DescribeOnly {
 public:
  DescribeOnly();
  ~DescribeOnly();
  DescribeOnly(const DescribeOnly&) = delete;
  DescribeOnly& operator=(const DescribeOnly&) = delete;
};

// While one lives, the WeightReaders of its thread put what they read into the memory of `device`.
class PlaceWeights {
 public:
  explicit PlaceWeights(const at::Device& device);
  ~PlaceWeights();
  PlaceWeights(const PlaceWeights&) = delete;
  PlaceWeights& operator=(const PlaceWeights&) = delete;
};

// Reads the weights of one checkpoint, each checked against the table. After the model is put together, finish()
// refuses what the table names and nothing asked for, and tensors of the checkpoint that the table lacks.
class WeightReader {
 public:
  WeightReader(const Checkpoint& checkpoint, std::vector<WeightSpec> table, at::ScalarType dtype);

  bool in_table(const std::string& name) const { return table_.count(name) > 0; }
  // Mapped where one tensor of the file is the weight in that type, else put together in memory.
  at::Tensor tensor(const std::string& name) { return tensor(name, dtype_); }
  at::Tensor tensor(const std::string& name, at::ScalarType dtype);
  // "….weight", and "….bias" where the table has one.
  std::shared_ptr<Projection> projection(const std::string& prefix) { return projection(prefix, dtype_); }
  std::shared_ptr<Projection> projection(const std::string& prefix, at::ScalarType dtype);
  // A weight for each expert, [E, out, in].
  std::shared_ptr<ExpertProjection> experts(const std::string& name);
  void finish(const std::vector<std::string>& left_out) const;

 private:
  const WeightSpec& spec(const std::string& name);  // and notes that it was asked for
  at::Tensor read(const StoredTensor& stored, at::ScalarType dtype);
  std::shared_ptr<const QuantisedTensor> quantised(const StoredTensor& stored);  // null: stored plainly

  const Checkpoint& checkpoint_;
  WeightFiles files_;
  std::map<std::string, WeightSpec> table_;
  std::set<std::string> asked_, used_;  // names of the table, names of the files
  at::ScalarType dtype_;
};

int64_t count_parameters(const std::vector<WeightSpec>& table);

}  // namespace masbak::models
