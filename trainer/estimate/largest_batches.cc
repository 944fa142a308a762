#include "trainer/estimate/largest_batches.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "models/layers/packed_attention.h"
#include "trainer/loop/batches.h"
#include "trainer/loop/passes.h"
#include "trainer/objectives/sft.h"

namespace masbak::trainer {
namespace {

// Returns the number of parts.
int64_t add_sizes(const RunConfig& run, const std::vector<TokenView>& batch, std::set<int64_t>* part_tokens,
                  std::set<int64_t>* lengths) {
  const auto parts = Passes::parts(batch, run.objective, run.training, run.adapter.lora_dropout);
  for (const std::vector<TokenView>& part : parts) {
    for (const TokenView& example : part) lengths->insert(static_cast<int64_t>(example.ids.size()));
    part_tokens->insert(fills_up() ? filled_tokens(tokens_of(part)) : tokens_of(part));
  }
  return static_cast<int64_t>(parts.size());
}

// Looks at each batch of the evaluation.
void add_evaluation(const RunConfig& run, LargestBatches* result) {
  const Examples& examples = result->data.eval;
  std::vector<TokenView> batch;
  std::vector<uint32_t> indices, largest;
  int64_t most = 0;
  for (int64_t i = 0; i < examples.size(); ++i) {
    batch.push_back(examples[i]);
    indices.push_back(static_cast<uint32_t>(i));
    if (static_cast<int64_t>(batch.size()) < run.training.eval_rows() && i + 1 < examples.size()) continue;
    result->parts += add_sizes(run, batch, &result->eval_part_tokens, &result->lengths);
    if (tokens_of(batch) > most) {
      most = tokens_of(batch);
      largest = indices;
    }
    batch.clear();
    indices.clear();
  }
  result->eval = examples.select(largest);
}

}  // namespace

int64_t tokens_of(const std::vector<TokenView>& examples) {
  return std::accumulate(examples.begin(), examples.end(), int64_t{0},
                         [](int64_t sum, const TokenView& example) { return sum + example.tokens(); });
}

BatchShape batch_shape(const std::vector<TokenView>& examples, const std::string& objective) {
  BatchShape shape;
  const bool all_rows = objective == "orpo";
  const auto add = [&](std::span<const int32_t> ids, std::span<const int32_t> labels) {
    if (ids.empty()) return;
    const auto length = static_cast<int64_t>(ids.size());
    shape.tokens += length;
    shape.longest = std::max(shape.longest, length);
    shape.padded_tokens += (length + 31) / 32 * 32;
    shape.kept_weights += models::kept_weights(length);
    shape.labelled += all_rows ? length - 1 : std::count_if(labels.begin() + 1, labels.end(), [](int32_t label) {
      return label != kIgnoredLabel;
    });
  };
  for (const TokenView& example : examples) {
    add(example.ids, example.labels);
    add(example.rejected_ids, example.rejected_labels);
  }
  return shape;
}

LargestBatches largest_batches(const RunConfig& run) {
  LargestBatches result;
  result.data = load_run_data(run, [](const std::string&) {});
  Batches batches(result.data.train, run.training);
  result.total_steps = batches.total_steps();
  struct Place {
    int64_t step = 0;
    size_t index = 0;
    bool operator==(const Place&) const = default;
  };
  std::array<Place, 4> places;
  std::array<int64_t, 4> most{-1, -1, -1, -1};
  int64_t tokens = 0, steps = 0;
  for (int64_t step = 0; step < result.total_steps && batches.epochs_after(step) < 1; ++step, ++steps) {
    const auto micro_batches = batches.step(step);
    for (size_t index = 0; index < micro_batches.size(); ++index) {
      const BatchShape shape = batch_shape(micro_batches[index], run.objective);
      tokens += shape.tokens;
      result.parts += add_sizes(run, micro_batches[index], &result.part_tokens, &result.lengths);
      const std::array<int64_t, 4> measures{shape.tokens, shape.labelled, shape.longest, shape.kept_weights};
      for (size_t i = 0; i < measures.size(); ++i) {
        if (measures[i] <= most[i]) continue;
        most[i] = measures[i];
        places[i] = {step, index};
      }
    }
  }
  result.total_tokens = tokens * result.total_steps / std::max<int64_t>(1, steps);
  std::vector<Place> taken;
  for (const Place& place : places) {
    if (steps == 0 || std::find(taken.begin(), taken.end(), place) != taken.end()) continue;
    taken.push_back(place);
    result.train.push_back(batches.step(place.step)[place.index]);
  }
  result.epochs = static_cast<int64_t>(std::ceil(batches.epochs_after(result.total_steps)));
  add_evaluation(run, &result);
  return result;
}

}  // namespace masbak::trainer
