#include "trainer/objectives/preference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace masbak::trainer {
namespace {

using Scores = std::vector<AnswerScore>;

const Scores kFirst{{-12.5, -13.0, 7}, {-3.25, -3.0, 2}, {-40.0, -44.0, 19}};
const Scores kSecond{{-9.0, -9.5, 5}, {-6.0, -4.5, 3}, {-21.0, -20.0, 11}};

ObjectiveOptions options_of(const std::string& loss_type) {
  ObjectiveOptions options;
  options.loss_type = loss_type;
  options.beta = 0.3;
  if (loss_type == "robust") options.label_smoothing = 0.2;
  options.desirable_weight = 1.5;
  return options;
}

// The gradient against differences of the loss.
void check_slopes(const std::function<PreferenceLoss(const Scores&, const Scores&)>& loss, const std::string& name) {
  constexpr double kStep = 1e-5;
  const PreferenceLoss at = loss(kFirst, kSecond);
  for (const bool second : {false, true}) {
    const std::vector<double>& slopes = second ? at.by_second : at.by_first;
    for (size_t i = 0; i < slopes.size(); ++i) {
      Scores up[2] = {kFirst, kSecond}, down[2] = {kFirst, kSecond};
      up[second][i].policy += kStep;
      down[second][i].policy -= kStep;
      const double slope = (loss(up[0], up[1]).loss - loss(down[0], down[1]).loss) / (2 * kStep);
      EXPECT_NEAR(slopes[i], slope, 1e-7) << name << " " << second << " " << i;
    }
  }
}

TEST(Preference, EveryGradientIsThatOfItsLoss) {
  for (const char* type : {"sigmoid", "hinge", "ipo", "robust", "sigmoid_norm"}) {
    const ObjectiveOptions options = options_of(type);
    check_slopes([&](const Scores& a, const Scores& b) { return dpo_loss(a, b, options); }, type);
  }
  const ObjectiveOptions odds = options_of("");
  check_slopes([&](const Scores& a, const Scores& b) { return odds_ratio_loss(a, b, odds); }, "orpo");
  for (const char* type : {"kto", "apo_zero_unpaired"}) {
    const ObjectiveOptions options = options_of(type);
    check_slopes([&](const Scores& a, const Scores&) { return kto_loss(a, {true, false, true}, 0.4, options); }, type);
  }
}

TEST(Preference, AModelThatHasNotMovedHasTheLossesOfAToss) {
  const Scores same{{-5, -5, 3}};
  EXPECT_NEAR(dpo_loss(same, same, options_of("sigmoid")).loss, std::log(2.0), 1e-12);
  EXPECT_NEAR(dpo_loss(same, same, options_of("hinge")).loss, 1.0, 1e-12);
  EXPECT_NEAR(dpo_loss(same, same, options_of("ipo")).loss, 1 / (0.36), 1e-12);  // (1 / (2 beta))^2
  EXPECT_NEAR(odds_ratio_loss(same, same, options_of("")).loss, 0.3 * std::log(2.0), 1e-12);
  EXPECT_NEAR(kto_loss(same, {true}, 0, options_of("kto")).loss, 0.75, 1e-12);  // desirable_weight / 2
  EXPECT_NEAR(kto_loss(same, {false}, 0, options_of("kto")).loss, 0.5, 1e-12);
}

TEST(Preference, StaysFiniteAtTheEdges) {
  const Scores certain{{0, 0, 4}}, hopeless{{-3000, -1, 4}};
  for (const char* type : {"sigmoid", "robust", "ipo"}) {
    const PreferenceLoss loss = dpo_loss(hopeless, certain, options_of(type));
    EXPECT_TRUE(std::isfinite(loss.loss) && std::isfinite(loss.by_first[0])) << type;
  }
  const PreferenceLoss odds = odds_ratio_loss(certain, hopeless, options_of(""));
  EXPECT_TRUE(std::isfinite(odds.loss) && std::isfinite(odds.by_first[0]) && std::isfinite(odds.by_second[0]));
}

}  // namespace
}  // namespace masbak::trainer
