// The formulas of a step's memory: which layers to compute again, and what that leaves.
#include "trainer/estimate/memory.h"

#include <gtest/gtest.h>

#include "tests/base/temporary_folder.h"
#include "tests/models/families/random_folder.h"
#include "trainer/loop/start.h"

namespace masbak::trainer {
namespace {

class StepMemoryOf : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    base::Json config = models::testing::small_config(GetParam());
    config["num_hidden_layers"] = 6;
    if (config.contains("first_k_dense_replace")) config["first_k_dense_replace"] = 0;  // all layers are alike
    models::testing::write_random_folder(config, folder_ / "model");
    run_.model = folder_ / "model";
    run_.objective = "sft";
    run_.adapter.target_modules = {"all-linear"};
    shapes_ = model_shapes(run_);
    plan_ = run_plan(run_, shapes_.places);
  }
  StepMemory of(const std::vector<bool>& again) const { return step_memory(run_, shapes_, plan_, batch_, again); }
  int64_t first(size_t layers) const {
    std::vector<bool> again(6, false);
    std::fill(again.begin(), again.begin() + static_cast<std::ptrdiff_t>(layers), true);
    return of(again).peak();
  }

  base::TemporaryFolder folder_;
  RunConfig run_;
  ModelShapes shapes_;
  adapters::Plan plan_;
  BatchShape batch_{600, 600, 300, 640};
};

TEST_P(StepMemoryOf, FallsWithEachFirstLayerButTheLast) {
  for (size_t layers = 1; layers < 6; ++layers) EXPECT_LT(first(layers), first(layers - 1)) << layers;
  // The last one keeps its input too, and what it computes again is there at once.
  EXPECT_GE(first(6), first(5));
}

TEST_P(StepMemoryOf, IsLeastWhereTheFirstLayersAreComputedAgain) {
  for (size_t begin = 1; begin <= 3; ++begin) {
    std::vector<bool> again(6, false);
    std::fill_n(again.begin() + static_cast<std::ptrdiff_t>(begin), 3, true);
    EXPECT_LE(first(3), of(again).peak()) << begin;
  }
  EXPECT_LT(first(3), of({false, false, false, true, true, true}).peak());
}

TEST_P(StepMemoryOf, HoldsTheLogitsBesideWhatIsKept) {
  batch_.labelled = 6;
  const StepMemory few = of(std::vector<bool>(6, false));
  shapes_.info.vocabulary = int64_t{1} << 24;  // a row of logits larger than all else
  const StepMemory many = of(std::vector<bool>(6, false));
  EXPECT_EQ(many.activations, few.activations);
  EXPECT_GE(many.workspace, shapes_.info.vocabulary * 2);
}

INSTANTIATE_TEST_SUITE_P(Families, StepMemoryOf, ::testing::Values("deepseek_v3", "llama", "qwen3_moe"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace masbak::trainer
