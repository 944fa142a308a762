#include "models/families/weights.h"

#include <ATen/ops/empty.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "models/checkpoint/tensor.h"
#include "models/layers/quantised_projection.h"

namespace masbak::models {
namespace {

thread_local bool describing = false;
thread_local at::Device placed = at::kCPU;

// The pages of a mapped tensor that has been copied leave this process: what stays in memory is the copy. Another
// reader of the file would find them in the page cache.
void release_pages(const TensorView& view) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(view.bytes.data());
  const uintptr_t first = (begin + page - 1) / page * page, last = (begin + view.bytes.size()) / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace

DescribeOnly::DescribeOnly() { describing = true; }

DescribeOnly::~DescribeOnly() { describing = false; }

PlaceWeights::PlaceWeights(const at::Device& device) { placed = device; }

PlaceWeights::~PlaceWeights() { placed = at::kCPU; }

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
    : checkpoint_(checkpoint), files_(checkpoint), dtype_(dtype) {
  for (WeightSpec& spec : table) {
    const std::string name = spec.name;
    table_.emplace(name, std::move(spec));
  }
}

at::Tensor WeightReader::read(const StoredTensor& stored, at::ScalarType dtype) {
  if (const auto small = quantised(stored)) return small->widened(dtype);
  const TensorView& view = checkpoint_.at(stored.name, stored.shape);
  used_.insert(stored.name);
  at::Tensor tensor = map_tensor(view, dtype);
  if (tensor.const_data_ptr() != view.bytes.data()) release_pages(view);
  if (placed.is_cpu()) return tensor;
  const at::Tensor there = tensor.to(placed);
  release_pages(view);
  return there;
}

std::shared_ptr<const QuantisedTensor> WeightReader::quantised(const StoredTensor& stored) {
  if (describing) return nullptr;
  auto small = open_quantised(files_, stored.name, stored.shape);
  if (!small) return nullptr;
  used_.insert(stored.name);
  for (const std::string& name : companions(files_, stored.name)) used_.insert(name);
  return placed.is_cpu() ? small : small->on(placed);
}

const WeightSpec& WeightReader::spec(const std::string& name) {
  const auto found = table_.find(name);
  if (found == table_.end()) {
    throw base::Error(base::Code::kInternal, "the family's weight table has no line for " + name);
  }
  asked_.insert(name);
  return found->second;
}

at::Tensor WeightReader::tensor(const std::string& name, at::ScalarType dtype) {
  const WeightSpec& spec = this->spec(name);
  if (describing) {
    return at::empty(spec.shape, at::TensorOptions().dtype(dtype).device(at::kMeta));
  }
  const std::vector<StoredTensor> parts = stored_tensors(spec, checkpoint_);
  if (parts.size() == 1 && parts[0].expert < 0) return read(parts[0], dtype);
  at::Tensor joined = at::empty(spec.shape, at::TensorOptions().dtype(dtype).device(placed));
  for (const StoredTensor& part : parts) {
    const at::Tensor place = joined.select(0, part.expert).narrow(0, part.row, part.shape[0]);
    if (const auto small = quantised(part)) {
      place.copy_(small->widened(dtype));
      continue;
    }
    const TensorView& view = checkpoint_.at(part.name, part.shape);
    used_.insert(part.name);
    place.copy_(map_tensor(view));  // converts on the way: pieces of a type in between would leave holes in the heap
    release_pages(view);
  }
  return joined;
}

std::shared_ptr<Projection> WeightReader::projection(const std::string& prefix, at::ScalarType dtype) {
  const std::string bias = prefix + ".bias", name = prefix + ".weight";
  const std::vector<StoredTensor> parts = stored_tensors(spec(name), checkpoint_);
  if (parts.size() == 1 && parts[0].expert < 0) {
    if (const auto small = quantised(parts[0])) {
      return make_quantised_projection(small, dtype, in_table(bias) ? tensor(bias, dtype) : at::Tensor());
    }
  }
  return make_projection(tensor(prefix + ".weight", dtype), in_table(bias) ? tensor(bias, dtype) : at::Tensor());
}

std::shared_ptr<ExpertProjection> WeightReader::experts(const std::string& name) {
  const std::vector<int64_t>& shape = spec(name).shape;
  std::vector<ExpertPart> small;
  const std::vector<StoredTensor> parts = stored_tensors(spec(name), checkpoint_);
  for (const StoredTensor& part : parts) {
    auto weight = quantised(part);
    if (!weight) break;  // some experts stored plainly: all are widened
    small.push_back({std::move(weight), std::max<int64_t>(part.expert, 0), part.row});
  }
  if (small.size() != parts.size()) return make_expert_projection(tensor(name));
  return make_quantised_experts(std::move(small), shape[0], shape[1], shape[2], dtype_);
}

void WeightReader::finish(const std::vector<std::string>& left_out) const {
  if (describing) return;
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
