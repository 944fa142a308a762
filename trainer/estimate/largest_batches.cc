#include "trainer/estimate/largest_batches.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "trainer/loop/batches.h"
#include "trainer/loop/passes.h"
#include "trainer/objectives/sft.h"

namespace masbak::trainer {
namespace {

std::vector<std::vector<TokenView>> evaluation_batches(const Examples& examples, const TrainingConfig& training) {
  const int64_t rows = training.eval_batch_size > 0 ? training.eval_batch_size : training.batch_size;
  std::vector<std::vector<TokenView>> batches;
  for (int64_t i = 0; i < examples.size(); ++i) {
    if (i % rows == 0) batches.emplace_back();
    batches.back().push_back(examples[i]);
  }
  return batches;
}

Examples largest_evaluation(const Examples& examples, const TrainingConfig& training) {
  int64_t most = 0, begin = 0, at = 0, rows = 0;
  for (const std::vector<TokenView>& batch : evaluation_batches(examples, training)) {
    if (const int64_t tokens = tokens_of(batch); tokens > most) {
      most = tokens;
      at = begin;
      rows = static_cast<int64_t>(batch.size());
    }
    begin += static_cast<int64_t>(batch.size());
  }
  std::vector<uint32_t> indices(static_cast<size_t>(rows));
  std::iota(indices.begin(), indices.end(), static_cast<uint32_t>(at));
  return examples.select(indices);
}

// Returns the number of parts.
int64_t add_sizes(const RunConfig& run, const std::vector<TokenView>& batch, std::set<int64_t>* part_tokens,
                  std::set<int64_t>* lengths) {
  const auto parts = Passes::parts(batch, run.objective, run.training, run.adapter.lora_dropout);
  for (const std::vector<TokenView>& part : parts) {
    for (const TokenView& example : part) lengths->insert(static_cast<int64_t>(example.ids.size()));
    part_tokens->insert(filled_tokens(tokens_of(part)));
  }
  return static_cast<int64_t>(parts.size());
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
  std::array<Place, 3> places;
  std::array<int64_t, 3> most{-1, -1, -1};
  int64_t tokens = 0, steps = 0;
  for (int64_t step = 0; step < result.total_steps && batches.epochs_after(step) < 1; ++step, ++steps) {
    const auto micro_batches = batches.step(step);
    for (size_t index = 0; index < micro_batches.size(); ++index) {
      const BatchShape shape = batch_shape(micro_batches[index], run.objective);
      tokens += shape.tokens;
      result.parts += add_sizes(run, micro_batches[index], &result.part_tokens, &result.lengths);
      const std::array<int64_t, 3> measures{shape.tokens, shape.labelled, shape.longest};
      for (size_t i = 0; i < measures.size(); ++i) {
        if (measures[i] <= most[i]) continue;
        most[i] = measures[i];
        places[i] = {step, index};
      }
    }
  }
  result.total_tokens = tokens * result.total_steps / std::max<int64_t>(1, steps);
  for (size_t i = 0; i < places.size() && steps > 0; ++i) {
    if (std::find(places.begin(), places.begin() + static_cast<int64_t>(i), places[i]) !=
        places.begin() + static_cast<int64_t>(i))
      continue;
    result.train.push_back(batches.step(places[i].step)[places[i].index]);
  }
  result.epochs = static_cast<int64_t>(std::ceil(batches.epochs_after(result.total_steps)));
  result.eval = largest_evaluation(result.data.eval, run.training);
  for (const std::vector<TokenView>& batch : evaluation_batches(result.data.eval, run.training)) {
    result.parts += add_sizes(run, batch, &result.eval_part_tokens, &result.lengths);
  }
  return result;
}

}  // namespace masbak::trainer
