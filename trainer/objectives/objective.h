// What a run minimises, batch by batch: supervised fine-tuning, or a preference over answers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/families/causal_model.h"
#include "trainer/data/examples.h"
#include "trainer/objectives/embedding_noise.h"
#include "trainer/objectives/router_loss.h"
#include "trainer/training_config.h"

namespace masbak::trainer {

// A pass over one batch of examples.
struct BatchResult {
  double loss = 0;                        // the batch's mean, without the routers' part
  std::map<std::string, double> metrics;  // means over the batch, by trl's names
  int64_t tokens = 0;                     // that went through the model
  std::vector<models::RouterRecord> routers;
  std::vector<int64_t> lengths;  // of the sequences that the records are about
  double router_loss = 0;        // without its coefficient
};

class Objective {
 public:
  virtual ~Objective() = default;
  // What the batch counts for in a mean over batches: its labelled tokens, or its examples.
  virtual int64_t weight(const std::vector<TokenView>& examples) const = 0;
  // Adds `share` times the gradient of loss + coefficient · router_loss to every parameter that trains.
  virtual BatchResult backward(const std::vector<TokenView>& examples, double share) = 0;
  // Without a gradient and without the routers' part.
  virtual BatchResult evaluate(const std::vector<TokenView>& examples) = 0;
};

// `name` is the run's objective. `reference` is what dpo and kto compare with: the model before it learnt; null for
// the others. `noise`, attached to the model, is added while sft learns; null: none. All must outlive the result.
std::unique_ptr<Objective> make_objective(const std::string& name, const TrainingConfig& training,
                                          models::CausalModel& model, models::CausalModel* reference,
                                          const EmbeddingNoise* noise);

// Whether the objective compares with a reference.
bool needs_reference(const std::string& objective);

}  // namespace masbak::trainer
