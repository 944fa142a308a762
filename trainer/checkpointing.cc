#include "trainer/checkpointing.h"

#include <algorithm>

#include "base/error.h"
#include "trainer/config_reading.h"

namespace masbak::trainer {

Checkpointing Checkpointing::read(const base::Fields& training) {
  const std::string key = "gradient_checkpointing";
  const base::Json& value = training.raw(key);
  Checkpointing read;
  if (value.is_number_integer()) {
    read.first = read_count(training, key, 0, 0);
    read.choice = Choice::kFirst;
  } else if (value.is_array()) {
    read.layers = training.get<std::vector<int64_t>>(key);
    std::sort(read.layers.begin(), read.layers.end());
    const bool twice = std::adjacent_find(read.layers.begin(), read.layers.end()) != read.layers.end();
    if (twice || (!read.layers.empty() && read.layers.front() < 0)) {
      training.fail(key, "expected numbers of layers from 0 on, each once");
    }
    read.choice = Choice::kThese;
  } else if (value.is_string()) {
    if (value != "auto") {
      training.fail(key, "expected true, false, auto, a number of layers or a list of them, found '" +
                             value.get<std::string>() + "'");
    }
    read.choice = Choice::kAuto;
  } else if (training.get<bool>(key, false)) {
    read.choice = Choice::kAll;
  }
  return read;
}

std::string Checkpointing::to_yaml() const {
  switch (choice) {
    case Choice::kNone: return "false";
    case Choice::kAll: return "true";
    case Choice::kAuto: return "auto";
    case Choice::kFirst: return std::to_string(first);
    case Choice::kThese: break;
  }
  std::string list;
  for (const int64_t layer : layers) list += (list.empty() ? "" : ", ") + std::to_string(layer);
  return "[" + list + "]";
}

std::vector<bool> Checkpointing::of(int64_t model_layers) const {
  const auto fail = [&](const std::string& found) {
    throw base::Error(base::Code::kInvalidArgument,
                      "the model has " + std::to_string(model_layers) + " layers; found " + found,
                      {"", 0, "training.gradient_checkpointing"});
  };
  if (first > model_layers) fail(std::to_string(first));
  if (!layers.empty() && layers.back() >= model_layers) {
    fail("a layer " + std::to_string(layers.back()) + ", numbered from 0");
  }
  std::vector<bool> taken(static_cast<size_t>(model_layers), choice == Choice::kAll);
  std::fill(taken.begin(), taken.begin() + first, true);
  for (const int64_t layer : layers) taken[static_cast<size_t>(layer)] = true;
  return taken;
}

}  // namespace masbak::trainer
