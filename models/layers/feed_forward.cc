#include "models/layers/feed_forward.h"

#include "models/layers/fused.h"

namespace masbak::models {

at::Tensor GatedMlp::forward(const at::Tensor& x_TD, Routing*) {
  return down_proj->forward(silu_times(gate_proj->forward(x_TD), up_proj->forward(x_TD)));
}

void GatedMlp::collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) {
  slots.push_back({prefix + ".gate_proj", group, layer, &gate_proj, nullptr});
  slots.push_back({prefix + ".up_proj", group, layer, &up_proj, nullptr});
  slots.push_back({prefix + ".down_proj", group, layer, &down_proj, nullptr});
}

}  // namespace masbak::models
