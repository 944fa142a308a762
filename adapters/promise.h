// The plan is a promise: what it names has changed after a run, and nothing else has.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/adapter.h"

namespace masbak::adapters {

struct PromiseReport {
  std::vector<std::string> unchanged;       // trained tensors with the bytes that they began with
  std::vector<std::string> zero_gradient;   // trained tensors to which no step has given a gradient
  std::vector<std::string> frozen_changed;  // base weights with other bytes than at the start; experts not chosen
  // By slot, the experts that no step has given a gradient: no token was routed to them.
  std::map<std::string, std::vector<int64_t>> idle_experts;
  int64_t trained_tensors = 0, frozen_tensors = 0;

  bool kept() const { return unchanged.empty() && frozen_changed.empty(); }
  // One sentence for each kind of finding, naming the first few places.
  std::vector<std::string> warnings() const;
  base::Json to_json() const;
};

// Remembers by digest every trained tensor and every weight of the base; the base's are found again although wrappers
// lie over them, so it is made before attach(). With `base` false the base is left out: it costs one pass over all
// weights (about a second for a gigabyte) at the start and one at the end.
class Promise {
 public:
  Promise(Adapter& adapter, models::CausalModel& model, bool base = true);

  // `second_moments` are AdamW's, in the order of trained_tensors(adapter): zero where no gradient ever was. Empty:
  // gradients are not reported on.
  PromiseReport report(Adapter& adapter, const std::vector<at::Tensor>& second_moments) const;

 private:
  struct Held {
    std::string name, digest;
    std::shared_ptr<models::Projection> linear;
    std::shared_ptr<models::ExpertProjection> experts;
    std::shared_ptr<models::TokenEmbedding> embedding;
    at::Tensor weight() const;
  };

  std::map<std::string, std::string> trained_;  // digest by key
  std::vector<Held> base_;
};

}  // namespace masbak::adapters
