// What the layers do with a GPU's kernels: the kernels run on the CPU (tests/models/kernels/cuda), everything around
// them is what runs on a GPU. Against the layers' CPU half, which other tests measure against ATen and transformers.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "base/error.h"
#include "models/checkpoint/device_weight.h"
#include "models/kernels/cuda/library.h"
#include "models/layers/device_rows.h"
#include "models/layers/fused.h"
#include "models/layers/mixture_of_experts.h"
#include "models/layers/quantised_projection.h"
#include "tests/models/families/small_model.h"
#include "tests/models/kernels/cuda/tensors.h"

namespace masbak::models {
namespace {

using cuda::difference;
using cuda::host_kernels;
using cuda::KernelsOnCpu;

std::vector<int32_t> some_ids(int64_t count, int64_t start = 0) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((start + 7 * i + i * i) % testing::kVocabulary));
  return ids;
}

// Values and gradients of a mixture of experts, by input and gate.
std::vector<at::Tensor> run_experts(const at::Tensor& x_TD, at::ScalarType type) {
  at::manual_seed(3);
  const auto moe = testing::random_experts(type);
  auto& parts = static_cast<MixtureOfExperts&>(*moe);
  const std::vector<at::Tensor> leaves{x_TD.detach().clone().requires_grad_(true),
                                       parts.router.gate->weight().requires_grad_(true)};
  const at::Tensor y_TD = moe->forward(leaves[0], nullptr);
  y_TD.backward(at::linspace(-1, 1, y_TD.numel()).view(y_TD.sizes()).to(type));
  std::vector<at::Tensor> results{y_TD.detach()};
  for (const at::Tensor& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

TEST(DeviceLayers, ExpertsAgreeWithTheCpu) {
  for (const auto& [type, tolerance] : {std::pair{at::kFloat, 2e-5}, std::pair{at::kBFloat16, 0.1}}) {
    for (const int64_t tokens : {1, 5, 300}) {
      at::manual_seed(tokens);
      const at::Tensor x_TD = at::randn({tokens, testing::kHidden}).to(type);
      const std::vector<at::Tensor> wanted = run_experts(x_TD, type);
      const KernelsOnCpu kernels(host_kernels());
      const std::vector<at::Tensor> found = run_experts(x_TD, type);
      for (size_t i = 0; i < found.size(); ++i) {
        const double size = std::max(1.0, wanted[i].abs().max().item<double>());
        EXPECT_LT(difference(found[i], wanted[i]), tolerance * size) << tokens << " tokens, result " << i;
      }
    }
  }
}

TEST(DeviceLayers, CrossEntropyAgreesWithTheCpu) {
  at::manual_seed(4);
  const at::Tensor logits = at::randn({17, 129}), targets = at::randint(129, {17}, at::kLong);
  at::Tensor on_cpu = logits.clone(), on_device = logits.clone();
  const double wanted = cross_entropy_rows(on_cpu, targets, 0.25, true);
  const KernelsOnCpu kernels(host_kernels());
  EXPECT_NEAR(cross_entropy_rows(on_device, targets, 0.25, true), wanted, 1e-4);
  EXPECT_LT(difference(on_device, on_cpu), 1e-6);
}

at::Tensor piecewise_logits(CausalModel& model, const std::vector<int32_t>& ids, const std::vector<int64_t>& lengths) {
  const at::NoGradGuard no_grad;
  const auto cache = model.make_cache();
  std::vector<at::Tensor> rows;
  auto next = ids.begin();
  for (const int64_t length : lengths) {
    Batch batch = make_batch({std::vector<int32_t>(next, next + length)});
    batch.slices[0].cache = cache.get();
    rows.push_back(model.logits(model.hidden(batch)));
    next += length;
  }
  return at::cat(rows);
}

TEST(DeviceLayers, PagedDecodingEqualsTheWhole) {
  const auto model = testing::small_model();
  const std::vector<int32_t> ids = some_ids(90);
  const at::NoGradGuard no_grad;
  const at::Tensor whole = model->logits(model->hidden(make_batch({ids})));
  const KernelsOnCpu kernels(host_kernels());
  EXPECT_LT(difference(piecewise_logits(*model, ids, std::vector<int64_t>(90, 1)), whole), 5e-5);
  EXPECT_LT(difference(piecewise_logits(*model, ids, {1, 8, 3, 20, 8, 45, 5}), whole), 5e-5);
}

TEST(DeviceLayers, SequencesShareThePoolAndGiveTheirPagesBack) {
  const auto model = testing::small_model(1);
  const at::NoGradGuard no_grad;
  const std::vector<int32_t> first = some_ids(70), second = some_ids(9, 5), third = some_ids(20, 11);
  const auto whole = [&](const std::vector<int32_t>& ids) { return model->logits(model->hidden(make_batch({ids}))); };
  const at::Tensor wanted_first = whole(first)[69], wanted_second = whole(second), wanted_third = whole(third)[19];
  const KernelsOnCpu kernels(host_kernels());
  for (int round = 0; round < 3; ++round) {  // later rounds find the pages of earlier ones
    const testing::PrefillAndDecode batch(*model, first, second, third);
    EXPECT_LT(difference(batch.logits[0], wanted_first), 5e-5);
    EXPECT_LT(difference(batch.logits.narrow(0, 1, 9), wanted_second), 5e-5);
    EXPECT_LT(difference(batch.logits[10], wanted_third), 5e-5);
    const int64_t page = LatentPool::kRows * (testing::kLatent + testing::kRope) * 4;
    EXPECT_EQ(batch.of_first->bytes(), testing::kLayers * 2 * page);
    EXPECT_EQ(batch.of_second->bytes(), testing::kLayers * page);
  }
}

TEST(DeviceLayers, APoolGrowsAndHandsPagesOutOnce) {
  const auto pool = std::make_shared<LatentPool>();
  const at::Tensor rows = at::randn({1, 5});
  std::vector<PageList> lists(40);
  std::set<int32_t> pages;
  for (PageList& list : lists) {
    list.grow(pool, rows, LatentPool::kRows + 1);
    pages.insert(list.pages().begin(), list.pages().end());
  }
  EXPECT_EQ(pages.size(), 80u);
  EXPECT_EQ(*pages.rbegin(), 79);
  EXPECT_EQ(lists[3].slot(LatentPool::kRows), lists[3].pages()[1] * LatentPool::kRows);
  const int64_t all = pool->pages().size(0);
  lists.clear();
  EXPECT_EQ(pool->free_pages(), all);
  PageList moved;
  moved.grow(pool, rows, 1);
  PageList to = std::move(moved);
  EXPECT_EQ(pool->free_pages(), all - 1);
  EXPECT_THROW(to.grow(std::make_shared<LatentPool>(), rows, 2), base::Error);
}

TEST(DeviceLayers, StoredWeightsOnADeviceMultiplyLikeThoseOfTheFile) {
  at::manual_seed(5);
  const at::Tensor codes = at::randn({11, 16}).to(at::kFloat8_e4m3fn), scales = at::rand({3, 2}) + 0.1;
  const std::string bytes(static_cast<const char*>(codes.const_data_ptr()), codes.nbytes());
  const std::vector<float> numbers(scales.const_data_ptr<float>(), scales.const_data_ptr<float>() + 6);
  const at::Tensor wide =
      codes.to(at::kFloat) * scales.repeat_interleave(4, 0).repeat_interleave(8, 1).narrow(0, 0, 11);
  const auto stored = fp8_on(at::kCPU, {11, 16}, bytes, numbers, 4, 8);
  const auto int8 = int8_on(at::kCPU, {2, 3}, std::string("\x7f\x01\xff\x02\x80\x00", 6), {127.0F, 254.0F});
  Nf4Scales of_nf4;
  of_nf4.absmax = {2.0F};
  const std::vector<float> table(kNf4Values, kNf4Values + 16);
  const auto nf4 = nf4_on(at::kCPU, {1, 4}, "\xf0\x7f", table, of_nf4, 64);
  const KernelsOnCpu kernels(host_kernels());
  const auto projection = make_quantised_projection(stored, at::kFloat);
  const at::Tensor x = at::randn({5, 16}).requires_grad_(true), same = x.detach().clone().requires_grad_(true);
  const at::Tensor y = projection->forward(x), wanted = at::matmul(same, wide.t());
  EXPECT_LT(difference(y, wanted), 1e-5);
  y.sum().backward();
  wanted.sum().backward();
  EXPECT_LT(difference(x.grad(), same.grad()), 1e-5);
  EXPECT_TRUE(at::equal(projection->weight(), wide));
  EXPECT_TRUE(
      at::equal(int8->widened(at::kFloat), at::tensor(std::vector<float>{127, 1, -1, 4, -256, 0}).view({2, 3})));
  EXPECT_TRUE(at::equal(nf4->widened(at::kFloat), at::tensor(std::vector<float>{2, -2, 0, 2}).view({1, 4})));
  std::array<float, 3> some;
  stored->widen(15, 3, some.data());
  EXPECT_EQ(some[1], wide[1][0].item<float>());
  EXPECT_THROW(stored->widened(at::kDouble), base::Error);
}

}  // namespace
}  // namespace masbak::models
