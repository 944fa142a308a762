#include "trainer/objectives/preference.h"

#include <algorithm>
#include <cmath>

namespace masbak::trainer {
namespace {

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
double log_sigmoid(double x) { return std::min(x, 0.0) - std::log1p(std::exp(-std::abs(x))); }

// log(1 - e^x) for x < 0, by the branch that keeps its digits (Mächler 2012).
double log_one_minus_exp(double x) { return x > -std::log(2.0) ? std::log(-std::expm1(x)) : std::log1p(-std::exp(x)); }

// A loss of one pair and its derivative by the difference of the scores.
struct Value {
  double loss, slope;
};

Value pair_loss(double difference, const ObjectiveOptions& options) {
  const double beta = options.beta, x = beta * difference;
  if (options.loss_type == "hinge") return {std::max(0.0, 1 - x), x < 1 ? -beta : 0.0};
  if (options.loss_type == "ipo") {
    const double error = difference - 1 / (2 * beta);
    return {error * error, 2 * error};
  }
  if (options.loss_type == "robust") {
    const double e = options.label_smoothing, scale = 1 / (1 - 2 * e);
    return {(-(1 - e) * log_sigmoid(x) + e * log_sigmoid(-x)) * scale,
            beta * (-(1 - e) * sigmoid(-x) - e * sigmoid(x)) * scale};
  }
  return {-log_sigmoid(x), -beta * sigmoid(-x)};  // sigmoid, sigmoid_norm
}

double log_ratio(const AnswerScore& score) { return score.policy - score.reference; }
double tokens_of(const AnswerScore& score) { return static_cast<double>(std::max<int64_t>(1, score.tokens)); }

void add_pair_metrics(const std::vector<AnswerScore>& chosen, const std::vector<AnswerScore>& rejected,
                      const std::vector<double>& rewards_chosen, const std::vector<double>& rewards_rejected,
                      PreferenceLoss* result) {
  const auto pairs = static_cast<double>(chosen.size());
  auto& m = result->metrics;
  for (const char* name : {"rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins",
                           "logps/chosen", "logps/rejected"}) {
    m[name] = 0;
  }
  for (size_t i = 0; i < chosen.size(); ++i) {
    m["rewards/chosen"] += rewards_chosen[i] / pairs;
    m["rewards/rejected"] += rewards_rejected[i] / pairs;
    m["rewards/accuracies"] += (rewards_chosen[i] > rewards_rejected[i] ? 1 : 0) / pairs;
    m["rewards/margins"] += (rewards_chosen[i] - rewards_rejected[i]) / pairs;
    m["logps/chosen"] += chosen[i].policy / pairs;
    m["logps/rejected"] += rejected[i].policy / pairs;
  }
}

}  // namespace

PreferenceLoss dpo_loss(const std::vector<AnswerScore>& chosen, const std::vector<AnswerScore>& rejected,
                        const ObjectiveOptions& options) {
  PreferenceLoss result;
  const auto pairs = static_cast<double>(chosen.size());
  const bool each_token = options.loss_type == "ipo" || options.loss_type == "sigmoid_norm";
  std::vector<double> rewards_chosen, rewards_rejected;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const double per_chosen = each_token ? tokens_of(chosen[i]) : 1;
    const double per_rejected = each_token ? tokens_of(rejected[i]) : 1;
    const Value value = pair_loss(log_ratio(chosen[i]) / per_chosen - log_ratio(rejected[i]) / per_rejected, options);
    result.loss += value.loss / pairs;
    result.by_first.push_back(value.slope / per_chosen / pairs);
    result.by_second.push_back(-value.slope / per_rejected / pairs);
    rewards_chosen.push_back(options.beta * log_ratio(chosen[i]));
    rewards_rejected.push_back(options.beta * log_ratio(rejected[i]));
  }
  add_pair_metrics(chosen, rejected, rewards_chosen, rewards_rejected, &result);
  return result;
}

PreferenceLoss odds_ratio_loss(const std::vector<AnswerScore>& chosen, const std::vector<AnswerScore>& rejected,
                               const ObjectiveOptions& options) {
  // A mean of exactly 0 (a certain answer) has infinite odds.
  constexpr double kCertain = -1e-12;
  PreferenceLoss result;
  const auto pairs = static_cast<double>(chosen.size());
  std::vector<AnswerScore> mean_chosen, mean_rejected;
  std::vector<double> rewards_chosen, rewards_rejected;
  double ratios = 0, odds = 0;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const double n_chosen = tokens_of(chosen[i]), n_rejected = tokens_of(rejected[i]);
    const double c = std::min(chosen[i].policy / n_chosen, kCertain);
    const double r = std::min(rejected[i].policy / n_rejected, kCertain);
    const double log_odds = (c - r) - (log_one_minus_exp(c) - log_one_minus_exp(r));
    const double ratio = log_sigmoid(log_odds);
    // d/dc of c - log(1 - e^c) is 1 / (1 - e^c).
    const double slope = -options.beta * sigmoid(-log_odds) / pairs;
    result.loss -= options.beta * ratio / pairs;
    result.by_first.push_back(slope / -std::expm1(c) / n_chosen);
    result.by_second.push_back(-slope / -std::expm1(r) / n_rejected);
    ratios += ratio / pairs;
    odds += log_odds / pairs;
    mean_chosen.push_back({c, 0, chosen[i].tokens});
    mean_rejected.push_back({r, 0, rejected[i].tokens});
    rewards_chosen.push_back(options.beta * c);
    rewards_rejected.push_back(options.beta * r);
  }
  add_pair_metrics(mean_chosen, mean_rejected, rewards_chosen, rewards_rejected, &result);
  result.metrics["log_odds_ratio"] = ratios;
  result.metrics["log_odds_chosen"] = odds;
  return result;
}

PreferenceLoss kto_loss(const std::vector<AnswerScore>& answers, const std::vector<bool>& desirable, double kl,
                        const ObjectiveOptions& options) {
  PreferenceLoss result;
  const auto count = static_cast<double>(answers.size());
  const double shift = options.loss_type == "kto" ? kl : 0;
  double sums[2] = {0, 0};
  int64_t counts[2] = {0, 0};
  for (size_t i = 0; i < answers.size(); ++i) {
    // Undesirable answers are mirrored: 1 - sigmoid(beta (kl - ratio)).
    const double sign = desirable[i] ? 1 : -1;
    const double weight = desirable[i] ? options.desirable_weight : options.undesirable_weight;
    const double value = sigmoid(sign * options.beta * (log_ratio(answers[i]) - shift));
    result.loss += weight * (1 - value) / count;
    result.by_first.push_back(-weight * sign * options.beta * value * (1 - value) / count);
    sums[desirable[i]] += options.beta * log_ratio(answers[i]);
    ++counts[desirable[i]];
  }
  const double chosen = sums[1] / static_cast<double>(std::max<int64_t>(1, counts[1]));
  const double rejected = sums[0] / static_cast<double>(std::max<int64_t>(1, counts[0]));
  if (counts[1] > 0) result.metrics["rewards/chosen"] = chosen;
  if (counts[0] > 0) result.metrics["rewards/rejected"] = rejected;
  if (counts[0] > 0 && counts[1] > 0) result.metrics["rewards/margins"] = chosen - rejected;
  if (options.loss_type == "kto") result.metrics["kl"] = kl;
  return result;
}

}  // namespace masbak::trainer
