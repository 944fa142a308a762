// The batches of a run that take the most memory.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "trainer/data/examples.h"
#include "trainer/loop/data.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

struct BatchShape {
  int64_t tokens = 0;         // through the model at once
  int64_t labelled = 0;       // rows of logits
  int64_t longest = 0;        // tokens of its longest sequence
  int64_t padded_tokens = 0;  // with each sequence filled up to a multiple of 32
  int64_t kept_weights = 0;   // of each head of latent attention (models/layers/packed_attention.h)
};
int64_t tokens_of(const std::vector<TokenView>& examples);
// Of examples that go through the model together under an objective.
BatchShape batch_shape(const std::vector<TokenView>& examples, const std::string& objective);

struct LargestBatches {
  RunData data;  // the views are into it
  // Micro-batches of the first epoch: the one with most tokens, with most labelled rows, with the longest sequence and
  // with most kept weights; each once.
  std::vector<std::vector<TokenView>> train;
  Examples eval;  // the batch of the evaluation with most tokens; empty if the run has none
  int64_t total_steps = 0, total_tokens = 0;
  // The sizes that products will have: tokens of the parts that threads take, filled up as for the model, of the first
  // epoch and of the evaluation; and the lengths of sequences.
  std::set<int64_t> part_tokens, eval_part_tokens, lengths;
  int64_t epochs = 0;  // begun ones of the run
  int64_t parts = 0;   // of the first epoch and an evaluation
};
// Reads the data of the run. Errors as load_run_data.
LargestBatches largest_batches(const RunConfig& run);

}  // namespace masbak::trainer
