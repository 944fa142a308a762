#include "adapters/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "adapters/name_pattern.h"
#include "base/digest.h"
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

// The choice of places, kept as one flag a place.
class Selection {
 public:
  Selection(const std::vector<PlanPlace>& places, Matching matching)
      : places_(places), strict_(matching == Matching::kRunFile), chosen_(places.size(), false) {}

  template <typename Match>
  bool mark(const Match& match, bool value) {
    bool any = false;
    for (size_t i = 0; i < places_.size(); ++i) {
      if (!match(places_[i])) continue;
      // Taking something out counts only where there was something to take.
      any |= value || chosen_[i];
      chosen_[i] = value;
    }
    return any;
  }

  void add_module(const std::string& entry);
  void add_parameter(const std::string& entry);
  void exclude(const std::string& entry);
  void add_pattern(const std::string& pattern);
  void exclude_pattern(const std::string& pattern);
  bool chosen(size_t i) const { return chosen_[i]; }

 private:
  void report_unmatched(const std::string& field, const std::string& entry, bool parameters) const;

  bool is_group_name(const std::string& entry) const { return strict_ && is_group(entry); }

  const std::vector<PlanPlace>& places_;
  const bool strict_;
  std::vector<bool> chosen_;
};

void Selection::report_unmatched(const std::string& field, const std::string& entry, bool parameters) const {
  if (!strict_) return;
  std::vector<std::string> known = known_names(places_, parameters);
  if (!parameters) known.insert(known.end(), group_names().begin(), group_names().end());
  const auto nearest = base::nearest_name(entry, known);
  std::string message = "'" + entry + "' matches nothing in this model";
  if (nearest) message += "; did you mean '" + *nearest + "'?";
  std::set<std::string> leaves;
  for (const PlanPlace& place : places_) {
    if (!parameters && place.experts > 0) continue;
    const std::string name = parameters ? parameter_name(place) : place.name;
    const size_t dot = name.rfind('.', parameters ? name.rfind('.') - 1 : std::string::npos);
    leaves.insert(dot == std::string::npos ? name : name.substr(dot + 1));
  }
  message += (nearest ? " There is: " : "; there is: ") + join({leaves.begin(), leaves.end()});
  if (!parameters) message += "; and the groups " + join(group_names());
  base::fail_input(message, {"", 0, "adapter." + field});
}

void Selection::add_module(const std::string& entry) {
  bool any;
  if (is_group_name(entry)) {
    any = mark([&](const PlanPlace& place) { return in_group(place.group, entry); }, true);
  } else {
    any = mark([&](const PlanPlace& place) { return place.experts == 0 && ends_with_name(place.name, entry); }, true);
    const bool fused = !any && std::any_of(places_.begin(), places_.end(), [&](const PlanPlace& place) {
      return place.experts > 0 && ends_with_name(place.name, entry);
    });
    if (fused && strict_) {
      base::fail_input("'" + entry + "' is a parameter that holds all experts, no module; name it in " +
                           "target_parameters, or use the group 'experts'",
                       {"", 0, "adapter.target_modules"});
    }
  }
  if (!any) report_unmatched("target_modules", entry, false);
}

void Selection::add_parameter(const std::string& entry) {
  const bool any = mark([&](const PlanPlace& place) { return ends_with_name(parameter_name(place), entry); }, true);
  if (!any) report_unmatched("target_parameters", entry, true);
}

void Selection::exclude(const std::string& entry) {
  const bool any = mark(
      [&](const PlanPlace& place) {
        return is_group_name(entry) ? in_group(place.group, entry) : ends_with_name(place.name, entry);
      },
      false);
  if (!any && strict_) {
    base::fail_input("'" + entry + "' excludes nothing that was targeted; remove it or correct the name",
                     {"", 0, "adapter.exclude_modules"});
  }
}

void Selection::add_pattern(const std::string& text) {
  const NamePattern pattern(text, "adapter.target_modules");
  const bool any =
      mark([&](const PlanPlace& place) { return place.experts == 0 && pattern.matches(place.name); }, true);
  if (!any && strict_) {
    base::fail_input("the regular expression '" + text + "' matches no whole module name of this model, such as '" +
                         (places_.empty() ? "" : places_.front().name) + "'; a list of names matches by their ends",
                     {"", 0, "adapter.target_modules"});
  }
}

void Selection::exclude_pattern(const std::string& text) {
  const NamePattern pattern(text, "adapter.exclude_modules");
  if (!mark([&](const PlanPlace& place) { return pattern.matches(place.name); }, false) && strict_) {
    base::fail_input("the regular expression '" + text + "' excludes nothing that was targeted",
                     {"", 0, "adapter.exclude_modules"});
  }
}

// Where PEFT keeps the A and B of each target. Several parameters of one module nest: the last one wraps
// the others, and each layer of wrapping puts ".base_layer" into the names inside.
void name_keys(std::vector<Target>* targets) {
  std::map<std::string, int> wrappers;
  for (auto target = targets->rbegin(); target != targets->rend(); ++target) {
    std::string module = target->slot;
    if (target->experts > 0) {
      module = module.substr(0, module.rfind('.'));
      const int outside = wrappers[module]++;
      for (int i = 0; i < outside; ++i) module += ".base_layer";
    }
    target->key_a = "base_model.model." + module + ".lora_A.weight";
    target->key_b = "base_model.model." + module + ".lora_B.weight";
  }
}

// "model.layers.3.mlp.gate" -> "model.layers.*.mlp.gate"
std::string without_numbers(const std::string& name) {
  std::string pattern;
  size_t start = 0;
  while (start <= name.size()) {
    const size_t dot = std::min(name.find('.', start), name.size());
    const std::string part = name.substr(start, dot - start);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    if (start > 0) pattern += '.';
    pattern += number ? "*" : part;
    start = dot + 1;
  }
  return pattern;
}

// What does not train, in short: a pattern where none of its places trains, else the name itself.
std::vector<std::string> frozen_names(const std::vector<PlanPlace>& places, const Selection& selection) {
  std::set<std::string> trained;
  for (size_t i = 0; i < places.size(); ++i) {
    if (selection.chosen(i)) trained.insert(without_numbers(places[i].name));
  }
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (size_t i = 0; i < places.size(); ++i) {
    if (selection.chosen(i)) continue;
    const std::string pattern = without_numbers(places[i].name);
    const std::string& name = trained.count(pattern) ? places[i].name : pattern;
    if (seen.insert(name).second) names.push_back(name);
  }
  return names;
}

void refuse_unbuilt(const LoraConfig& config, const PlanPlace& place) {
  if (place.group == Group::kHead || place.group == Group::kEmbedding) {
    throw base::Error(base::Code::kUnimplemented,
                      "LoRA on '" + place.name + "' (head or embedding) is not built yet; leave it out of the targets",
                      {"", 0, "adapter.target_modules"});
  }
  if (place.experts > 0 && config.lora_dropout > 0) {
    base::fail_input("dropout cannot be used on fused experts ('" + place.name +
                         "'), as in PEFT; set lora_dropout to 0.0 or leave the experts out of the targets",
                     {"", 0, "adapter.lora_dropout"});
  }
}

}  // namespace

std::vector<int64_t> Target::shape_a() const { return {experts > 0 ? experts * rank : rank, in}; }
std::vector<int64_t> Target::shape_b() const { return {out, experts > 0 ? rank * experts : rank}; }

base::Json Plan::to_json() const {
  base::Json tensors = base::Json::array();
  for (const Target& target : targets) {
    tensors.push_back(
        {{"name", target.key_a}, {"shape", target.shape_a()}, {"rank", target.rank}, {"target", target.slot}});
    tensors.push_back(
        {{"name", target.key_b}, {"shape", target.shape_b()}, {"rank", target.rank}, {"target", target.slot}});
  }
  return {{"trainable_parameters", trainable_parameters}, {"tensors", tensors}, {"frozen", frozen}};
}

std::string Plan::digest() const { return base::digest_bytes(to_json().dump()); }

std::vector<PlanPlace> places(models::CausalModel& model) {
  std::vector<PlanPlace> result;
  for (const models::Slot& slot : model.slots()) {
    if (slot.linear) {
      result.push_back({slot.name, slot.group, (*slot.linear)->in_features(), (*slot.linear)->out_features(), 0});
    } else {
      const auto& experts = *slot.experts;
      result.push_back({slot.name, slot.group, experts->in_features(), experts->out_features(), experts->experts()});
    }
  }
  return result;
}

Plan make_plan(const LoraConfig& config, const std::vector<PlanPlace>& places, Matching matching) {
  Selection selection(places, matching);
  for (const std::string& entry : config.target_modules) selection.add_module(entry);
  if (!config.target_pattern.empty()) selection.add_pattern(config.target_pattern);
  for (const std::string& entry : config.exclude_modules) selection.exclude(entry);
  if (!config.exclude_pattern.empty()) selection.exclude_pattern(config.exclude_pattern);
  // As in PEFT, what is excluded are modules; a parameter named outright stays.
  for (const std::string& entry : config.target_parameters) selection.add_parameter(entry);

  Plan plan;
  plan.config = config;
  for (size_t i = 0; i < places.size(); ++i) {
    if (!selection.chosen(i)) continue;
    const PlanPlace& place = places[i];
    refuse_unbuilt(config, place);
    plan.targets.push_back(
        {place.name, place.group, place.in, place.out, place.experts, config.r, config.scale(), "", ""});
    const int64_t copies = std::max<int64_t>(place.experts, 1);
    plan.trainable_parameters += copies * config.r * (place.in + place.out);
  }
  if (plan.targets.empty()) {
    base::fail_input(matching == Matching::kPeft ? "none of the adapter's targets is in this model; is it another "
                                                   "model's adapter?"
                                                 : "exclude_modules leaves nothing to train",
                     {"", 0, matching == Matching::kPeft ? "target_modules" : "adapter.exclude_modules"});
  }
  name_keys(&plan.targets);
  plan.frozen = frozen_names(places, selection);
  return plan;
}

}  // namespace masbak::adapters
