#include "models/layers/quantised_projection.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/durable_file.h"
#include "models/checkpoint/tensor.h"
#include "tests/base/temporary_folder.h"

namespace masbak::models {
namespace {

// Weights in FP8 with scales of blocks 3 x 4, which divide neither side, and what torch makes of them.
class QuantisedProjection : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(0);
    codes_ = at::randn({kExperts, kOut, kIn}).to(at::kFloat8_e4m3fn);
    scales_ = at::rand({kExperts, 4, 3}) + 0.1;
    std::vector<TensorToWrite> list;
    for (int64_t e = 0; e < kExperts; ++e) {
      const std::string name = "w" + std::to_string(e);
      parts_.push_back(codes_[e].contiguous());
      list.push_back(tensor_to_write(name, parts_.back()));
      list.push_back({name + "_scale_inv",
                      Dtype::kF32,
                      {4, 3},
                      {reinterpret_cast<const char*>(scales_[e].const_data_ptr<float>()), 48}});
    }
    base::write_file_durably(folder_.path() / "config.json", R"({"quantization_config":{"weight_block_size":[3,4]}})");
    write_safetensors(folder_.path() / "model.safetensors", list);
    const at::Tensor spread =
        scales_.repeat_interleave(3, 1).repeat_interleave(4, 2).narrow(1, 0, kOut).narrow(2, 0, kIn);
    whole_ = codes_.to(at::kFloat) * spread;
    const Checkpoint checkpoint(folder_.path());
    const WeightFiles files(checkpoint);
    for (int64_t e = 0; e < kExperts; ++e) {
      stored_.push_back(open_quantised(files, "w" + std::to_string(e), {kOut, kIn}));
    }
  }

  static constexpr int64_t kExperts = 3, kOut = 11, kIn = 10;
  base::TemporaryFolder folder_;
  at::Tensor codes_, scales_, whole_;
  std::vector<at::Tensor> parts_;
  std::vector<std::shared_ptr<const QuantisedTensor>> stored_;
};

TEST_F(QuantisedProjection, WidensLikeTorchBitByBit) {
  for (int64_t e = 0; e < kExperts; ++e) {
    EXPECT_TRUE(at::equal(stored_[e]->widened(at::kFloat), whole_[e]));
    EXPECT_TRUE(at::equal(stored_[e]->widened(at::kBFloat16), whole_[e].to(at::kBFloat16)));
  }
}

TEST_F(QuantisedProjection, GivesTheProductAndTheGradientOfTheWideWeight) {
  const auto projection = make_quantised_projection(stored_[0], at::kFloat, at::ones({kOut}));
  const at::Tensor x = at::randn({5, kIn}).requires_grad_(), same = x.detach().clone().requires_grad_();
  const at::Tensor y = projection->forward(x), expected = at::linear(same, whole_[0], at::ones({kOut}));
  EXPECT_TRUE(at::allclose(y, expected, 1e-5, 1e-6));
  const at::Tensor weights = at::randn({5, kOut});
  (y * weights).sum().backward();
  (expected * weights).sum().backward();
  EXPECT_TRUE(at::allclose(x.grad(), same.grad(), 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(projection->weight(), whole_[0]));
}

TEST_F(QuantisedProjection, MultipliesEachExpertsRowsByItsOwnWeight) {
  std::vector<ExpertPart> parts;
  for (int64_t e = 0; e < kExperts; ++e) {
    parts.push_back({stored_[e], e, 0});
    parts.push_back({stored_[(e + 1) % kExperts], e, kOut});
  }
  const auto experts = make_quantised_experts(parts, kExperts, 2 * kOut, kIn, at::kFloat);
  const at::Tensor wide = at::cat({whole_, whole_.roll(-1, 0)}, 1);
  EXPECT_TRUE(at::equal(experts->weight(), wide));
  const std::vector<int64_t> offsets{0, 4, 4, 7};  // the second has none
  const at::Tensor x = at::randn({7, kIn}).requires_grad_(), y = experts->forward(x, offsets);
  const at::Tensor weights = at::randn({7, 2 * kOut});
  (y * weights).sum().backward();
  for (int64_t e = 0; e < kExperts; ++e) {
    const int64_t begin = offsets[e], rows = offsets[e + 1] - begin;
    EXPECT_TRUE(at::allclose(y.narrow(0, begin, rows), x.narrow(0, begin, rows).mm(wide[e].t()), 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(x.grad().narrow(0, begin, rows), weights.narrow(0, begin, rows).mm(wide[e]), 1e-5, 1e-6));
  }
}

}  // namespace
}  // namespace masbak::models
