#include "adapters/selection.h"

#include <algorithm>
#include <optional>
#include <set>

#include "adapters/name_pattern.h"
#include "base/error.h"

namespace masbak::adapters {
namespace {

using models::Group;

bool ends_with_name(const std::string& name, const std::string& suffix) {
  if (name == suffix) return true;
  return name.size() > suffix.size() && name.ends_with(suffix) && name[name.size() - suffix.size() - 1] == '.';
}

bool in_group(Group group, const std::string& name) {
  if (name == "all-linear") return group != Group::kHead && group != Group::kEmbedding;
  return models::group_name(group) == name;
}

// PEFT's name of the tensor itself: "….q_proj.weight", or the fused parameter.
std::string parameter_name(const PlanPlace& place) { return place.experts > 0 ? place.name : place.name + ".weight"; }

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// Every ending of every place's name, so that a misspelt suffix finds its neighbour.
std::vector<std::string> known_names(const std::vector<PlanPlace>& places, bool parameters) {
  std::set<std::string> names;
  for (const PlanPlace& place : places) {
    if (!parameters && place.experts > 0) continue;
    const std::string name = parameters ? parameter_name(place) : place.name;
    size_t start = name.size();
    for (int parts = 0; parts < 3 && start != std::string::npos && start > 0; ++parts) {
      start = name.rfind('.', start - 1);
      names.insert(start == std::string::npos ? name : name.substr(start + 1));
    }
  }
  return {names.begin(), names.end()};
}

// Which part of an expert's rows at a place a name means: gate and up are one parameter there.
constexpr uint8_t kGate = 1, kUp = 2, kWhole = kGate | kUp;

struct ExpertName {
  std::string name;
  uint8_t part;
};

// What transformers 4 called the linears of expert `e` that are one parameter at `place`: its own names and Mixtral's.
std::vector<ExpertName> names_of_expert(const PlanPlace& place, int64_t e) {
  const size_t dot = place.name.rfind('.');
  const bool down = place.name.substr(dot + 1) == "down_proj";
  const std::vector<ExpertName> leaves =
      down ? std::vector<ExpertName>{{"down_proj", kWhole}, {"w2", kWhole}}
           : std::vector<ExpertName>{{"gate_proj", kGate}, {"up_proj", kUp}, {"w1", kGate}, {"w3", kUp}};
  std::vector<ExpertName> names;
  for (const ExpertName& leaf : leaves) {
    std::string name = place.name.substr(0, dot + 1) + std::to_string(e) + "." + leaf.name;
    const size_t mlp = name.find(".mlp.");
    if (leaf.name[0] == 'w' && mlp != std::string::npos) name.replace(mlp, 5, ".block_sparse_moe.");
    names.push_back({std::move(name), leaf.part});
  }
  return names;
}

}  // namespace

std::vector<std::string> single_expert_names(const PlanPlace& place) {
  std::vector<std::string> names;
  for (int64_t e = 0; e < place.experts; ++e) {
    for (ExpertName& each : names_of_expert(place, e)) names.push_back(std::move(each.name));
  }
  return names;
}

namespace {

// layers_to_transform and layers_pattern, as PEFT reads them: the number behind the first list in a name, or behind
// a list of one of these names. A run file's choice holds for parameters too.
class LayerChoice {
 public:
  explicit LayerChoice(const LoraConfig& config) : layers_(config.layers_to_transform), lists_(config.layers_pattern) {}

  bool any() const { return !layers_.empty(); }

  bool has(const std::string& name) const {
    if (layers_.empty()) return true;
    const std::optional<int64_t> layer = layer_of(name);
    return layer && std::find(layers_.begin(), layers_.end(), *layer) != layers_.end();
  }

 private:
  std::optional<int64_t> layer_of(const std::string& name) const {
    std::vector<std::string> parts;
    for (size_t begin = 0, dot; begin <= name.size(); begin = dot + 1) {
      dot = std::min(name.find('.', begin), name.size());
      parts.push_back(name.substr(begin, dot - begin));
    }
    // PEFT wants a name in front of the list's, unless the list is named, and something behind the number.
    for (size_t i = lists_.empty() ? 2 : 1; i + 1 < parts.size(); ++i) {
      const bool number = !parts[i].empty() && parts[i].find_first_not_of("0123456789") == std::string::npos;
      if (!number || parts[i].size() > 9) continue;
      if (lists_.empty() || std::find(lists_.begin(), lists_.end(), parts[i - 1]) != lists_.end()) {
        return std::stoll(parts[i]);
      }
    }
    return std::nullopt;
  }

  const std::vector<int64_t>& layers_;
  const std::vector<std::string>& lists_;
};

// The choice of places: for each the parts that are chosen, one a fused expert, one in all for a linear.
class Selection {
 public:
  using Parts = std::vector<uint8_t>;

  Selection(const LoraConfig& config, const std::vector<PlanPlace>& places, Matching matching)
      : layers_(config),
        places_(places),
        strict_(matching == Matching::kRunFile),
        single_experts_(matching == Matching::kPeftSingleExperts) {
    for (const PlanPlace& place : places)
      chosen_.emplace_back(static_cast<size_t>(std::max<int64_t>(place.experts, 1)));
  }

  void choose(const LoraConfig& config);
  std::vector<PlaceChoice> choices() const;

 private:
  // Chooses, or takes out, at each place what `parts_of(place)` gives; false if that is nothing anywhere. Taking
  // something out counts only where there was something to take.
  template <typename PartsOf>
  bool mark(const PartsOf& parts_of, bool value) {
    bool any = false;
    for (size_t i = 0; i < places_.size(); ++i) {
      const Parts parts = parts_of(places_[i]);
      for (size_t k = 0; k < parts.size(); ++k) {
        any |= (value ? parts[k] : parts[k] & chosen_[i][k]) != 0;
        chosen_[i][k] = static_cast<uint8_t>(value ? chosen_[i][k] | parts[k] : chosen_[i][k] & ~parts[k]);
      }
    }
    return any;
  }
  static Parts whole(const PlanPlace& place) {
    return Parts(static_cast<size_t>(std::max<int64_t>(place.experts, 1)), kWhole);
  }
  static Parts whole_if(const PlanPlace& place, bool match) { return match ? whole(place) : Parts(); }

  // What the names that `match` accepts mean at a place, as the names of modules; `entry` is what stands in the file.
  template <typename Match>
  Parts named_parts(const PlanPlace& place, const std::string& entry, const Match& match) const;
  void add_module(const std::string& entry);
  void add_parameter(const std::string& entry);
  void exclude(const std::string& entry);
  void add_pattern(const std::string& pattern);
  void exclude_pattern(const std::string& pattern);
  void report_unmatched(const std::string& field, const std::string& entry, bool parameters) const;
  bool is_group_name(const std::string& entry) const { return strict_ && is_group(entry); }

  const LayerChoice layers_;
  const std::vector<PlanPlace>& places_;
  const bool strict_, single_experts_;
  std::vector<Parts> chosen_;
};

template <typename Match>
Selection::Parts Selection::named_parts(const PlanPlace& place, const std::string& entry, const Match& match) const {
  if (place.experts == 0) return whole_if(place, match(place.name));
  // In a run file "down_proj" alone means linears, those of experts only where it speaks of experts.
  if (strict_ ? entry.find("experts") == std::string::npos : !single_experts_) return {};
  Parts parts(static_cast<size_t>(place.experts));
  bool any = false;
  for (int64_t e = 0; e < place.experts; ++e) {
    uint8_t& part = parts[static_cast<size_t>(e)];
    for (const ExpertName& each : names_of_expert(place, e)) {
      if (match(each.name)) part |= each.part;
    }
    // "mlp.experts.3" is an expert with all its linears, "experts.3.gate_up_proj" one as it is kept now.
    const size_t dot = place.name.rfind('.');
    const std::string expert = place.name.substr(0, dot + 1) + std::to_string(e);
    if (strict_ && (match(expert) || match(expert + place.name.substr(dot)))) part = kWhole;
    any |= part != 0;
  }
  // PEFT's own adapters of single experts have them all; file.cc finds what is missing.
  return single_experts_ ? whole_if(place, any) : parts;
}

void Selection::report_unmatched(const std::string& field, const std::string& entry, bool parameters) const {
  if (!strict_) return;
  std::vector<std::string> known = known_names(places_, parameters);
  if (!parameters) known.insert(known.end(), group_names().begin(), group_names().end());
  const auto nearest = base::nearest_name(entry, known);
  std::string message = "'" + entry + "' matches nothing in this model";
  if (layers_.any()) message += " within layers_to_transform";
  if (nearest && *nearest != entry) message += "; did you mean '" + *nearest + "'?";
  std::set<std::string> leaves;
  int64_t experts = 0;
  for (const PlanPlace& place : places_) {
    experts = std::max(experts, place.experts);
    if (!parameters && place.experts > 0) continue;
    const std::string name = parameters ? parameter_name(place) : place.name;
    const size_t dot = name.rfind('.', parameters ? name.rfind('.') - 1 : std::string::npos);
    leaves.insert(dot == std::string::npos ? name : name.substr(dot + 1));
  }
  message += (nearest && *nearest != entry ? " There is: " : "; there is: ") + join({leaves.begin(), leaves.end()});
  if (!parameters && experts > 0) message += "; the experts 0 to " + std::to_string(experts - 1);
  if (!parameters) message += "; and the groups " + join(group_names());
  base::fail_input(message, {"", 0, "adapter." + field});
}

void Selection::add_module(const std::string& entry) {
  const bool any = mark(
      [&](const PlanPlace& place) {
        if (!layers_.has(place.name)) return Parts();
        if (is_group_name(entry)) return whole_if(place, in_group(place.group, entry));
        return named_parts(place, entry, [&](const std::string& name) { return ends_with_name(name, entry); });
      },
      true);
  if (any || !strict_) return;
  const bool fused = std::any_of(places_.begin(), places_.end(), [&](const PlanPlace& place) {
    return place.experts > 0 && ends_with_name(place.name, entry);
  });
  if (fused) {
    base::fail_input("'" + entry + "' is a parameter that holds all experts, no module; name it in " +
                         "target_parameters, or use the group 'experts'",
                     {"", 0, "adapter.target_modules"});
  }
  report_unmatched("target_modules", entry, false);
}

void Selection::add_parameter(const std::string& entry) {
  const auto parts_of = [&](const PlanPlace& place) {
    return whole_if(place, ends_with_name(parameter_name(place), entry) && (!strict_ || layers_.has(place.name)));
  };
  if (!mark(parts_of, true)) report_unmatched("target_parameters", entry, true);
}

void Selection::exclude(const std::string& entry) {
  const bool any = mark(
      [&](const PlanPlace& place) {
        if (is_group_name(entry)) return whole_if(place, in_group(place.group, entry));
        if (!strict_ || ends_with_name(place.name, entry)) return whole_if(place, ends_with_name(place.name, entry));
        return named_parts(place, entry, [&](const std::string& name) { return ends_with_name(name, entry); });
      },
      false);
  if (!any && strict_) {
    base::fail_input("'" + entry + "' excludes nothing that was targeted; remove it or correct the name",
                     {"", 0, "adapter.exclude_modules"});
  }
}

void Selection::add_pattern(const std::string& text) {
  const NamePattern pattern(text, "adapter.target_modules");
  const auto parts_of = [&](const PlanPlace& place) {
    return named_parts(place, text, [&](const std::string& name) { return pattern.matches(name); });
  };
  if (!mark(parts_of, true) && strict_) {
    base::fail_input("the regular expression '" + text + "' matches no whole module name of this model, such as '" +
                         (places_.empty() ? "" : places_.front().name) + "'; a list of names matches by their ends",
                     {"", 0, "adapter.target_modules"});
  }
}

void Selection::exclude_pattern(const std::string& text) {
  const NamePattern pattern(text, "adapter.exclude_modules");
  const auto parts_of = [&](const PlanPlace& place) {
    if (!strict_ || pattern.matches(place.name)) return whole_if(place, pattern.matches(place.name));
    return named_parts(place, text, [&](const std::string& name) { return pattern.matches(name); });
  };
  if (!mark(parts_of, false) && strict_) {
    base::fail_input("the regular expression '" + text + "' excludes nothing that was targeted",
                     {"", 0, "adapter.exclude_modules"});
  }
}

void Selection::choose(const LoraConfig& config) {
  for (const std::string& entry : config.target_modules) add_module(entry);
  if (!config.target_pattern.empty()) add_pattern(config.target_pattern);
  for (const std::string& entry : config.exclude_modules) exclude(entry);
  if (!config.exclude_pattern.empty()) exclude_pattern(config.exclude_pattern);
  // As in PEFT, what is excluded are modules; a parameter named outright stays.
  for (const std::string& entry : config.target_parameters) add_parameter(entry);
}

std::vector<PlaceChoice> Selection::choices() const {
  std::vector<PlaceChoice> result(places_.size());
  for (size_t i = 0; i < places_.size(); ++i) {
    const Parts& parts = chosen_[i];
    for (size_t k = 0; k < parts.size(); ++k) {
      if (parts[k] == kGate || parts[k] == kUp) {
        const std::string names = "gate_proj and up_proj of expert " + std::to_string(k);
        base::fail_input(names + " are one parameter ('" + places_[i].name + "') and train together; name both of " +
                             "them, or neither",
                         {"", 0, "adapter.target_modules"});
      }
      if (parts[k] == kWhole) result[i].experts.push_back(static_cast<int64_t>(k));
    }
    result[i].chosen = !result[i].experts.empty();
    if (result[i].experts.size() == parts.size()) result[i].experts.clear();
  }
  return result;
}

}  // namespace

std::vector<PlaceChoice> targeted_places(const LoraConfig& config, const std::vector<PlanPlace>& places,
                                         Matching matching) {
  Selection selection(config, places, matching);
  selection.choose(config);
  return selection.choices();
}

std::vector<bool> saved_places(const LoraConfig& config, const std::vector<PlanPlace>& places, bool strict) {
  std::vector<bool> saved(places.size(), false);
  for (const std::string& entry : config.modules_to_save) {
    bool any = false;
    for (size_t i = 0; i < places.size(); ++i) {
      const std::string& name = places[i].name;
      if (!(strict ? ends_with_name(name, entry) : name.ends_with(entry))) continue;
      any = saved[i] = true;
      if (strict && places[i].group == Group::kRouter) {
        // PEFT cannot load a router's copy without the buffers beside its weight, which no slot gives access to.
        throw base::Error(base::Code::kUnimplemented,
                          "a whole copy of the router '" + name + "' is not built yet; target it with LoRA",
                          {"", 0, "adapter.modules_to_save"});
      }
      if (places[i].experts == 0 && !places[i].bias) continue;
      throw base::Error(base::Code::kUnimplemented,
                        "a whole copy of '" + name + "' is not built yet (" +
                            (places[i].bias ? "it has a bias" : "it holds all experts") + "); target it with LoRA",
                        {"", 0, strict ? "adapter.modules_to_save" : "modules_to_save"});
    }
    if (any) continue;
    std::set<std::string> leaves;
    for (const PlanPlace& place : places) {
      if (place.experts == 0 && !place.bias) leaves.insert(place.name.substr(place.name.rfind('.') + 1));
    }
    base::fail_input("'" + entry + "' names no module that can be trained as a whole copy; there is: " +
                         join({leaves.begin(), leaves.end()}),
                     {"", 0, strict ? "adapter.modules_to_save" : "modules_to_save"});
  }
  return saved;
}

}  // namespace masbak::adapters
