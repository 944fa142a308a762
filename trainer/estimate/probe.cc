#include "trainer/estimate/probe.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "base/error.h"
#include "models/families/describe.h"
#include "trainer/estimate/available.h"
#include "trainer/loop/passes.h"
#include "trainer/loop/tensor_pool.h"
#include "trainer/loop/trainer.h"

namespace masbak::trainer {
namespace {

// How often a step is timed again, and for how long at most.
constexpr int kMostTimed = 6;
constexpr double kTimedSeconds = 2;

// "model.layers.12.mlp.gate" -> 12; -1 for what is in no layer.
int64_t layer_of(const std::string& slot) {
  const std::string prefix = "model.layers.";
  return slot.starts_with(prefix) ? std::stoll(slot.substr(prefix.size())) : -1;
}

std::string within_layer(const std::string& slot) {
  return slot.substr(slot.find('.', std::string("model.layers.").size()));
}

// What a layer is made of and what of it trains; alike for layers that take the same.
std::vector<std::string> layer_signatures(const ModelShapes& shapes, const adapters::Plan& plan) {
  std::vector<std::ostringstream> texts(static_cast<size_t>(shapes.info.layers));
  for (const adapters::PlanPlace& place : shapes.places) {
    const int64_t layer = layer_of(place.name);
    if (layer < 0 || layer >= shapes.info.layers) continue;
    texts[static_cast<size_t>(layer)] << within_layer(place.name) << ' ' << place.in << ' ' << place.out << ' '
                                      << place.experts << ';';
  }
  for (const adapters::Target& target : plan.targets) {
    const int64_t layer = layer_of(target.slot);
    if (layer < 0 || layer >= shapes.info.layers) continue;
    texts[static_cast<size_t>(layer)] << within_layer(target.slot) << " r" << target.rank
                                      << (target.full ? " full" : "") << (target.dora ? " dora" : "") << ';';
  }
  std::vector<std::string> signatures;
  for (const std::ostringstream& text : texts) signatures.push_back(text.str());
  return signatures;
}

adapters::Plan plan_of_first(const adapters::Plan& plan, int64_t layers) {
  adapters::Plan first = plan;
  first.config.path.clear();
  std::erase_if(first.targets, [layers](const adapters::Target& target) { return layer_of(target.slot) >= layers; });
  return first;
}

// Resident bytes of the process, without the pages of the files in `folder`, which may be links.
int64_t resident_without(const std::filesystem::path& folder) {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.insert(std::filesystem::weakly_canonical(entry.path()).string());
  }
  int64_t bytes = 0;
  bool counts = true;
  std::ifstream maps("/proc/self/smaps");
  for (std::string line; std::getline(maps, line);) {
    if (line.starts_with("Rss:")) {
      if (counts) bytes += bytes_of_line(line);
    } else if (line.find(':') == std::string::npos || line.find('-') < line.find(':')) {  // "begin-end rights … path"
      const size_t path = line.find('/');
      counts = path == std::string::npos || files.count(line.substr(path)) == 0;
    }
  }
  return bytes;
}

// What the routers of a step did with one micro-batch, whose parts see about the same shares.
void note_experts(const RouterStats& routers, const std::vector<std::vector<TokenView>>& parts, int64_t per_token,
                  Probe* probe) {
  for (const std::vector<double>& layer : routers.load) {
    for (const double share : layer) {
      if (share <= 0) continue;
      probe->smallest_share = std::min(probe->smallest_share, share);
      probe->largest_share = std::max(probe->largest_share, share);
      for (const std::vector<TokenView>& part : parts) {
        const auto rows = static_cast<double>(tokens_of(part) * per_token) * share;
        probe->expert_rows.insert(static_cast<int64_t>(rows + 0.5));
      }
    }
  }
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Probe train_first(const RunConfig& run, const adapters::Plan& whole, const LargestBatches& batches, int64_t layers) {
  BlockPool& pool = *tensor_pool();
  const size_t before = pool.taken_bytes();
  const auto model = models::load_first_layers(run.model, run.training.dtype, layers);
  adapters::Adapter adapter = adapters::new_adapter(plan_of_first(whole, layers), run.training.seed);
  adapter.dropout->probability = run.adapter.lora_dropout;
  adapters::initialise(adapter, *model);
  Trainer trainer(*model, adapter, run.objective, run.training, !run.adapter.path.empty());
  pool.watch();
  Probe measured;
  // The first makes oneDNN's machine code, and the second is like all that follow.
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t i = 0; i < batches.train.size(); ++i) {
      StepResult step;
      const double seconds = seconds_of([&] { step = trainer.compute({batches.train[i]}); });
      const auto parts = Passes::parts(batches.train[i], run.objective, run.training, run.adapter.lora_dropout);
      note_experts(step.routers, parts, model->info().experts_per_token, &measured);
      if (i == 0) measured.seconds = seconds;
    }
    trainer.apply(0);
  }
  if (!batches.eval.empty()) trainer.evaluate(batches.eval);
  measured.tensors = static_cast<int64_t>(pool.watched_bytes() - before);
  // The time of the further layers is the difference of two such steps many times over: what else the machine does
  // must not be in it.
  double spent = 0;
  for (int again = 0; again < kMostTimed && spent < kTimedSeconds; ++again) {
    const double seconds = seconds_of([&] { trainer.compute({batches.train.front()}); });
    measured.seconds = std::min(measured.seconds, seconds);
    spent += seconds;
  }
  return measured;
}

}  // namespace

int64_t layers_to_probe(const ModelShapes& shapes, const adapters::Plan& plan) {
  const std::vector<std::string> signatures = layer_signatures(shapes, plan);
  int64_t alike = shapes.info.layers - 1;  // from here on all are like the last
  while (alike > 0 && signatures[static_cast<size_t>(alike) - 1] == signatures.back()) --alike;
  return std::min(shapes.info.layers, alike + 2);
}

std::optional<Probe> probe(const RunConfig& run, const ModelShapes& shapes, const adapters::Plan& plan,
                           const LargestBatches& batches) {
  if (!tensor_pool()) throw base::Error(base::Code::kInternal, "a probe wants tensors in a pool of their own");
  Probe result;
  const int64_t layers = layers_to_probe(shapes, plan), further = shapes.info.layers - layers;
  try {
    Probe less;
    if (further > 0) less = train_first(run, plan, batches, layers - 1);
    result = train_first(run, plan, batches, layers);
    result.layers = layers;
    result.program = resident_without(run.model) - static_cast<int64_t>(tensor_pool()->resident_bytes());
    if (further > 0) {
      result.seconds += static_cast<double>(further) * std::max(0.0, result.seconds - less.seconds);
      result.further = std::max<int64_t>(0, result.tensors - less.tensors);
      result.tensors += further * result.further;
    }
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }
  return result;
}

}  // namespace masbak::trainer
