#include "adapters/promise.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/adapters/fake_model.h"

namespace masbak::adapters {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PromiseTest : public testing::Test {
 protected:
  PromiseTest() {
    LoraConfig config;
    config.r = 2;
    config.target_modules = {"attention", "experts"};
    adapter_ = new_adapter(make_plan(config, places(model_)), 1);
  }

  // Everything trained, and everything with a gradient.
  std::vector<at::Tensor> train() {
    std::vector<at::Tensor> moments;
    for (const at::Tensor& tensor : adapter_.tensors()) {
      tensor.add_(0.5);
      moments.push_back(at::ones_like(tensor));
    }
    return moments;
  }

  tests::FakeModel model_;
  Adapter adapter_;
};

TEST_F(PromiseTest, IsKeptWhenExactlyThePlanChanged) {
  const Promise promise(adapter_, model_);
  attach(model_, adapter_);
  const PromiseReport report = promise.report(adapter_, train());
  EXPECT_TRUE(report.kept());
  EXPECT_TRUE(report.warnings().empty());
  EXPECT_EQ(report.trained_tensors, 8);
  EXPECT_EQ(report.frozen_tensors, 7);
}

TEST_F(PromiseTest, NamesWhatDidNotTrain) {
  const Promise promise(adapter_, model_);
  std::vector<at::Tensor> moments = train();
  adapter_.factors[1].b.zero_();
  moments[3].zero_();
  moments[4][2].zero_();  // A of gate_up_proj, expert 2
  const PromiseReport report = promise.report(adapter_, moments);
  const std::string key = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight";
  EXPECT_FALSE(report.kept());
  EXPECT_THAT(report.unchanged, ElementsAre(key));
  EXPECT_THAT(report.zero_gradient, ElementsAre(key));
  EXPECT_THAT(report.idle_experts.at("model.layers.1.mlp.experts.gate_up_proj"), ElementsAre(2));
  EXPECT_THAT(report.warnings().back(), HasSubstr("gate_up_proj: 2"));
  EXPECT_EQ(report.to_json()["unchanged"].size(), 1u);
}

TEST_F(PromiseTest, HoldsExpertsThatAreNotChosenToZero) {
  LoraConfig config;
  config.r = 2;
  config.target_modules = {"experts.1"};
  Adapter adapter = new_adapter(make_plan(config, places(model_)), 1);
  std::vector<at::Tensor> moments;
  for (const at::Tensor& tensor : adapter.tensors()) {
    EXPECT_FALSE(tensor[0].any().item<bool>() || tensor[2].any().item<bool>());
    moments.push_back(at::zeros_like(tensor));
    moments.back()[1].fill_(1);
  }
  const Promise promise(adapter, model_);
  for (const at::Tensor& tensor : adapter.tensors()) tensor[1].add_(0.5);
  EXPECT_TRUE(promise.report(adapter, moments).kept());
  EXPECT_TRUE(promise.report(adapter, moments).idle_experts.empty());
  adapter.factors[0].a[2].add_(1);
  const PromiseReport report = promise.report(adapter, moments);
  EXPECT_FALSE(report.kept());
  EXPECT_THAT(report.frozen_changed, ElementsAre(HasSubstr("expert 2")));
}

TEST_F(PromiseTest, NamesABaseWeightThatChanged) {
  const Promise promise(adapter_, model_);
  (*model_.slots()[1].linear)->weight().add_(1);
  attach(model_, adapter_);
  const PromiseReport report = promise.report(adapter_, train());
  EXPECT_FALSE(report.kept());
  EXPECT_THAT(report.frozen_changed, ElementsAre("model.layers.0.mlp.gate_proj"));
}

}  // namespace
}  // namespace masbak::adapters
