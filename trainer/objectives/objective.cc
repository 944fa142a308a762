#include "trainer/objectives/objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/error.h"
#include "trainer/objectives/preference.h"
#include "trainer/objectives/scored_pass.h"
#include "trainer/objectives/sft.h"

namespace masbak::trainer {
namespace {

using Records = std::vector<models::RouterRecord>;

std::vector<int64_t> lengths_of(const std::vector<TokenView>& sequences) {
  std::vector<int64_t> lengths;
  for (const TokenView& sequence : sequences) lengths.push_back(static_cast<int64_t>(sequence.ids.size()));
  return lengths;
}

class Base : public Objective {
 public:
  Base(const TrainingConfig& training, models::CausalModel& model)
      : options_(training.objective),
        model_(model),
        router_loss_(model.info(), training.router_aux_loss_coef),
        vocabulary_(model.info().vocabulary),
        max_length_(training.max_length) {}

 protected:
  bool mixture() const { return model_.info().experts > 0; }

  // The routers' part of what is minimised, noted in the result.
  at::Tensor router_part(BatchResult* result, double share) const {
    if (!router_loss_.on() || result->routers.empty()) return {};
    const at::Tensor loss = router_loss_(result->routers, result->lengths);
    result->router_loss = loss.detach().item<double>();
    return loss * (share * router_loss_.coefficient());
  }

  const ObjectiveOptions options_;
  models::CausalModel& model_;
  const RouterLoss router_loss_;
  const int64_t vocabulary_, max_length_;
};

class SupervisedFineTuning final : public Base {
 public:
  SupervisedFineTuning(const TrainingConfig& training, models::CausalModel& model, const EmbeddingNoise* noise)
      : Base(training, model), noise_(noise) {}

  int64_t weight(const std::vector<TokenView>& examples) const override {
    int64_t labelled = 0;
    for (const TokenView& example : examples) labelled += count_trained(example);
    return labelled;
  }

  BatchResult backward(const std::vector<TokenView>& examples, double share) override {
    const LabelledBatch batch = label_batch(examples, vocabulary_, fills_up());
    BatchResult result;
    result.tokens = batch.tokens;
    result.lengths = lengths_of(examples);
    if (batch.labelled() == 0) return result;
    const auto labelled = static_cast<double>(batch.labelled());
    std::optional<EmbeddingNoise::Pass> noisy;
    if (noise_) {
      // What fills the batch up is no sequence of anybody's.
      const auto begin = batch.batch.slices.begin();
      noisy.emplace(noise_->add({begin, begin + std::ssize(examples)}));
    }
    result.loss = sft_backward(model_, batch, labelled / share, mixture() ? &result.routers : nullptr,
                               [&] { return router_part(&result, share); }) /
                  labelled;
    return result;
  }

  BatchResult evaluate(const std::vector<TokenView>& examples) override {
    const LabelledBatch batch = label_batch(examples, vocabulary_, fills_up());
    BatchResult result;
    result.tokens = batch.tokens;
    result.loss = sft_loss(model_, batch) / static_cast<double>(std::max<int64_t>(1, batch.labelled()));
    return result;
  }

 private:
  const EmbeddingNoise* noise_;
};

// Answers as sequences of one batch, and which of its labelled rows belong to which.
struct Answers {
  explicit Answers(std::vector<TokenView> list, int64_t vocabulary) : sequences(std::move(list)) {
    batch = label_batch(sequences, vocabulary, fills_up());
    begins.push_back(0);
    for (const TokenView& sequence : sequences) begins.push_back(begins.back() + count_trained(sequence));
  }

  std::vector<double> sums(const std::vector<double>& log_probs) const {
    std::vector<double> result;
    for (size_t i = 0; i + 1 < begins.size(); ++i) {
      double sum = 0;
      for (int64_t n = begins[i]; n < begins[i + 1]; ++n) sum += log_probs[static_cast<size_t>(n)];
      result.push_back(sum);
    }
    return result;
  }

  // The same number for each row of a sequence.
  std::vector<double> spread(const std::vector<double>& by_sequence) const {
    std::vector<double> result;
    for (size_t i = 0; i + 1 < begins.size(); ++i) {
      result.insert(result.end(), static_cast<size_t>(begins[i + 1] - begins[i]), by_sequence[i]);
    }
    return result;
  }

  std::vector<TokenView> sequences;
  LabelledBatch batch;
  std::vector<int64_t> begins;  // of each sequence among the labelled rows, and their number
};

class Preference : public Base {
 public:
  Preference(const TrainingConfig& training, models::CausalModel& model, models::CausalModel* reference)
      : Base(training, model), reference_(reference) {}

  int64_t weight(const std::vector<TokenView>& examples) const override {
    return static_cast<int64_t>(examples.size());
  }
  BatchResult backward(const std::vector<TokenView>& examples, double share) override { return run(examples, share); }
  BatchResult evaluate(const std::vector<TokenView>& examples) override {
    const at::NoGradGuard no_grad;
    return run(examples, 0);
  }

 protected:
  // share 0: no gradient.
  virtual BatchResult run(const std::vector<TokenView>& examples, double share) = 0;

  Records* records(BatchResult* result, double share) const {
    return mixture() && share > 0 ? &result->routers : nullptr;
  }

  std::vector<double> reference_sums(const Answers& answers) const {
    const at::NoGradGuard no_grad;
    return answers.sums(ScoredPass(*reference_, answers.batch).log_probs());
  }

  static void require_pairs(const std::vector<TokenView>& examples, const char* objective) {
    for (const TokenView& example : examples) {
      if (!example.rejected_ids.empty()) continue;
      throw base::Error(base::Code::kFailedPrecondition,
                        std::string("objective ") + objective +
                            " learns from preference pairs (prompt, chosen, rejected), and this row is none",
                        {"", example.line, "rejected"});
    }
  }

  // Chosen answers, then rejected ones.
  static std::vector<TokenView> both(const std::vector<TokenView>& examples, bool whole_chosen) {
    std::vector<TokenView> list;
    for (const TokenView& e : examples) list.push_back({e.ids, whole_chosen ? e.ids : e.labels, e.line});
    for (const TokenView& e : examples) list.push_back({e.rejected_ids, e.rejected_labels, e.line});
    return list;
  }

  models::CausalModel* reference_;
};

class DirectPreference final : public Preference {
 public:
  using Preference::Preference;

 private:
  BatchResult run(const std::vector<TokenView>& examples, double share) override {
    require_pairs(examples, "dpo");
    const Answers answers(both(examples, false), vocabulary_);
    BatchResult result;
    result.tokens = answers.batch.tokens;
    result.lengths = lengths_of(answers.sequences);
    const std::vector<double> reference = reference_sums(answers);
    ScoredPass pass(model_, answers.batch, records(&result, share));
    const std::vector<double> policy = answers.sums(pass.log_probs());
    const size_t pairs = examples.size();
    std::vector<AnswerScore> chosen, rejected;
    for (size_t i = 0; i < 2 * pairs; ++i) {
      (i < pairs ? chosen : rejected).push_back({policy[i], reference[i], answers.begins[i + 1] - answers.begins[i]});
    }
    PreferenceLoss loss = dpo_loss(chosen, rejected, options_);
    result.loss = loss.loss;
    result.metrics = std::move(loss.metrics);
    if (share == 0) return result;
    std::vector<double> by = loss.by_first;
    by.insert(by.end(), loss.by_second.begin(), loss.by_second.end());
    for (double& number : by) number *= share;
    pass.backward(answers.spread(by), router_part(&result, share));
    return result;
  }
};

class OddsRatioPreference final : public Preference {
 public:
  using Preference::Preference;

 private:
  // trl's cross entropy is over prompt and chosen answer, the odds ratio over the answers alone.
  BatchResult run(const std::vector<TokenView>& examples, double share) override {
    require_pairs(examples, "orpo");
    const Answers answers(both(examples, true), vocabulary_);
    BatchResult result;
    result.tokens = answers.batch.tokens;
    result.lengths = lengths_of(answers.sequences);
    ScoredPass pass(model_, answers.batch, records(&result, share));
    const std::vector<double>& log_probs = pass.log_probs();
    const size_t pairs = examples.size();
    std::vector<bool> in_answer(log_probs.size(), true);
    for (size_t i = 0; i < pairs; ++i) {
      for (size_t at = 1; at < examples[i].ids.size(); ++at) {
        in_answer[static_cast<size_t>(answers.begins[i]) + at - 1] = examples[i].labels[at] != kIgnoredLabel;
      }
    }
    std::vector<AnswerScore> chosen, rejected;
    for (size_t i = 0; i < 2 * pairs; ++i) {
      AnswerScore score;
      for (int64_t n = answers.begins[i]; n < answers.begins[i + 1]; ++n) {
        if (!in_answer[static_cast<size_t>(n)]) continue;
        score.policy += log_probs[static_cast<size_t>(n)];
        ++score.tokens;
      }
      (i < pairs ? chosen : rejected).push_back(score);
    }
    PreferenceLoss loss = odds_ratio_loss(chosen, rejected, options_);
    const int64_t rows = answers.begins[pairs];
    double entropy = 0;
    for (int64_t n = 0; n < rows; ++n) entropy -= log_probs[static_cast<size_t>(n)] / static_cast<double>(rows);
    result.loss = loss.loss + entropy;
    result.metrics = std::move(loss.metrics);
    result.metrics["nll_loss"] = entropy;
    if (share == 0) return result;
    std::vector<double> by = loss.by_first;
    by.insert(by.end(), loss.by_second.begin(), loss.by_second.end());
    std::vector<double> by_row = answers.spread(by);
    for (size_t n = 0; n < by_row.size(); ++n) {
      if (!in_answer[n]) by_row[n] = 0;
      if (n < static_cast<size_t>(rows)) by_row[n] -= 1 / static_cast<double>(rows);
      by_row[n] *= share;
    }
    pass.backward(by_row, router_part(&result, share));
    return result;
  }
};

class KahnemanTversky final : public Preference {
 public:
  using Preference::Preference;

  int64_t weight(const std::vector<TokenView>& examples) const override {
    return static_cast<int64_t>(separate(examples).size());
  }

 private:
  // A pair is a desirable and an undesirable answer.
  static std::vector<TokenView> separate(const std::vector<TokenView>& examples) {
    std::vector<TokenView> list;
    for (const TokenView& e : examples) {
      const bool pair = !e.rejected_ids.empty();
      list.push_back({e.ids, e.labels, e.line, {}, {}, pair || e.desirable});
      if (pair) list.push_back({e.rejected_ids, e.rejected_labels, e.line, {}, {}, false});
    }
    return list;
  }

  BatchResult run(const std::vector<TokenView>& examples, double share) override {
    const Answers answers(separate(examples), vocabulary_);
    BatchResult result;
    result.tokens = answers.batch.tokens;
    result.lengths = lengths_of(answers.sequences);
    const double kl = options_.loss_type == "kto" ? divergence(answers.sequences) : 0;
    const std::vector<double> reference = reference_sums(answers);
    ScoredPass pass(model_, answers.batch, records(&result, share));
    const std::vector<double> policy = answers.sums(pass.log_probs());
    std::vector<AnswerScore> scores;
    std::vector<bool> desirable;
    for (size_t i = 0; i < policy.size(); ++i) {
      scores.push_back({policy[i], reference[i], answers.begins[i + 1] - answers.begins[i]});
      desirable.push_back(answers.sequences[i].desirable);
    }
    PreferenceLoss loss = kto_loss(scores, desirable, kl, options_);
    result.loss = loss.loss;
    result.metrics = std::move(loss.metrics);
    if (share == 0) return result;
    for (double& number : loss.by_first) number *= share;
    pass.backward(answers.spread(loss.by_first), router_part(&result, share));
    return result;
  }

  // How far the policy has moved, estimated on each prompt with the answer of the one before it, as trl does.
  double divergence(const std::vector<TokenView>& sequences) const {
    std::vector<TokenSequence> owned;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const TokenView &prompt = sequences[i], &answer = sequences[(i + sequences.size() - 1) % sequences.size()];
      const auto at = [](const TokenView& view) {
        return std::find_if(view.labels.begin(), view.labels.end(), [](int32_t l) { return l != kIgnoredLabel; }) -
               view.labels.begin();
      };
      TokenSequence mixed;
      mixed.line = prompt.line;
      mixed.ids.assign(prompt.ids.begin(), prompt.ids.begin() + at(prompt));
      mixed.labels.assign(mixed.ids.size(), kIgnoredLabel);
      mixed.ids.insert(mixed.ids.end(), answer.ids.begin() + at(answer), answer.ids.end());
      mixed.labels.insert(mixed.labels.end(), answer.labels.begin() + at(answer), answer.labels.end());
      const auto longest = static_cast<size_t>(max_length_);
      if (mixed.ids.size() > longest) {
        mixed.ids.resize(longest);
        mixed.labels.resize(longest);
      }
      owned.push_back(std::move(mixed));
    }
    const at::NoGradGuard no_grad;
    const Answers answers(std::vector<TokenView>(owned.begin(), owned.end()), vocabulary_);
    const std::vector<double> reference = reference_sums(answers);
    const std::vector<double> policy = answers.sums(ScoredPass(model_, answers.batch).log_probs());
    double sum = 0;
    for (size_t i = 0; i < policy.size(); ++i) sum += policy[i] - reference[i];
    return std::max(0.0, sum / static_cast<double>(policy.size()));
  }
};

}  // namespace

bool needs_reference(const std::string& objective) { return objective == "dpo" || objective == "kto"; }

std::unique_ptr<Objective> make_objective(const std::string& name, const TrainingConfig& training,
                                          models::CausalModel& model, models::CausalModel* reference,
                                          const EmbeddingNoise* noise) {
  if (needs_reference(name) && !reference) {
    throw base::Error(base::Code::kInternal, "objective " + name + " needs a reference model");
  }
  if (name == "dpo") return std::make_unique<DirectPreference>(training, model, reference);
  if (name == "orpo") return std::make_unique<OddsRatioPreference>(training, model, nullptr);
  if (name == "kto") return std::make_unique<KahnemanTversky>(training, model, reference);
  if (name == "sft") return std::make_unique<SupervisedFineTuning>(training, model, noise);
  throw base::Error(base::Code::kInternal, "an objective without a class: " + name);
}

}  // namespace masbak::trainer
