// Which layers a run computes a second time instead of keeping what they computed (models/layers/recompute.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/document.h"

namespace masbak::trainer {

// The key gradient_checkpointing of RUN.yaml: which layers keep only their input for the gradient and compute the rest
// again on the way back. false, true, a number (the first so many), a list, or auto (as few of the first as the memory
// wants). The first, since the way back comes to them when what the later ones kept is gone. What is learnt is the
// same, bit for bit.
struct Checkpointing {
  enum class Choice { kNone, kAll, kFirst, kThese, kAuto };
  Choice choice = Choice::kNone;
  int64_t first = 0;            // kFirst; of kAuto what was planned (estimate/estimate.h), none before
  std::vector<int64_t> layers;  // kThese

  static Checkpointing read(const base::Fields& training);
  std::string to_yaml() const;  // the value of the key

  bool may_save() const { return choice != Choice::kAll && choice != Choice::kAuto; }  // more than it does
  // For each of a model's layers whether it is one. INVALID_ARGUMENT if one is named that there is not.
  std::vector<bool> of(int64_t model_layers) const;
};

}  // namespace masbak::trainer
