// What preferences say about whole answers: the loss of a batch and its gradient by the log-probabilities of the
// answers. Plain arithmetic in float64, without a model. Formulas and names are those of trl 1.16.0.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "trainer/training_config.h"

namespace masbak::trainer {

// The log-probability of an answer under the model that learns and under the reference: sums over its tokens.
struct AnswerScore {
  double policy = 0, reference = 0;
  int64_t tokens = 0;  // of the answer
};

struct PreferenceLoss {
  double loss = 0;                          // the mean over the batch
  std::vector<double> by_first, by_second;  // its gradient by each `policy`: of chosen and rejected, or of the answers
  std::map<std::string, double> metrics;    // means over the batch: "rewards/chosen", …
};

// Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) and the variants that loss_type names:
// hinge (arXiv:2305.10425), ipo (arXiv:2310.12036), robust (arXiv:2403.00409), sigmoid_norm (per token of the answer).
PreferenceLoss dpo_loss(const std::vector<AnswerScore>& chosen, const std::vector<AnswerScore>& rejected,
                        const ObjectiveOptions& options);

// The odds-ratio term of ORPO (Hong et al. 2024, arXiv:2403.07691), without its cross entropy: -beta · log sigmoid of
// the log odds ratio of the answers' mean log-probabilities. `reference` is not looked at.
PreferenceLoss odds_ratio_loss(const std::vector<AnswerScore>& chosen, const std::vector<AnswerScore>& rejected,
                               const ObjectiveOptions& options);

// Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306); `kl` is the batch's estimate of how far the
// policy has moved, at least 0. loss_type apo_zero_unpaired (arXiv:2408.06266) does without it.
PreferenceLoss kto_loss(const std::vector<AnswerScore>& answers, const std::vector<bool>& desirable, double kl,
                        const ObjectiveOptions& options);

}  // namespace masbak::trainer
