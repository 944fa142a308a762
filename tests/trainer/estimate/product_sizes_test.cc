// The sizes of products that a run will have beside those of a probe.
#include "trainer/estimate/product_sizes.h"

#include <gtest/gtest.h>

#include "models/layers/matrix_product.h"

namespace masbak::trainer {
namespace {

class ProductSizes : public ::testing::Test {
 protected:
  void SetUp() override {
    run_.objective = "sft";
    run_.training.dtype = "bfloat16";
    shapes_.info.layers = 2;
    shapes_.places = {{"model.layers.0.self_attn.q_proj", models::Group::kAttention, 64, 64, 0},
                      {"model.layers.0.self_attn.k_proj", models::Group::kAttention, 64, 32, 0},
                      {"model.layers.1.self_attn.q_proj", models::Group::kAttention, 64, 64, 0},
                      {"lm_head", models::Group::kHead, 64, 900, 0}};
    batches_.part_tokens = {256, 512, 576};
    batches_.epochs = 1;
  }
  int64_t further(bool free = false) const { return further_product_sizes(run_, shapes_, batches_, probe_, free); }

  RunConfig run_;
  ModelShapes shapes_;
  LargestBatches batches_;
  Probe probe_;
};

TEST_F(ProductSizes, AreForwardAndBackOfEachShapeAndNumberOfTokens) {
  EXPECT_EQ(further(), 3 * 2 * 2 /* and no lengths */);
  run_.training.dtype = "float32";
  EXPECT_EQ(further(), 0);
}

TEST_F(ProductSizes, OfFurtherEpochsAreAllInBetween) {
  batches_.epochs = 2;
  EXPECT_EQ(further(), 10 * 2 * 2);  // 256, 288, … 512, 576
}

TEST_F(ProductSizes, OfAttentionByGroupsComeWithTheLengths) {
  batches_.lengths = {100, 200};
  EXPECT_EQ(further(), 12 + 2 * 16);
  shapes_.places.push_back({"model.layers.0.self_attn.kv_b_proj", models::Group::kAttention, 64, 64, 0});
  EXPECT_EQ(further(), 12);
}

TEST_F(ProductSizes, OfExpertsGrowWithTheDraws) {
  const int64_t before = further();
  shapes_.info.experts = 4;
  shapes_.info.experts_per_token = 2;
  shapes_.places.push_back({"model.layers.1.mlp.experts.gate_up_proj", models::Group::kExperts, 64, 40, 4});
  EXPECT_EQ(further(), before);  // nothing is known of them
  probe_.smallest_share = 0.1;
  probe_.largest_share = 0.5;
  probe_.expert_rows = {200, 300};
  batches_.parts = 2;
  const int64_t few = further();
  batches_.parts = 200;
  EXPECT_GT(few, before);
  EXPECT_GT(further(), few);
  batches_.epochs = 2;
  batches_.part_tokens = {16, 100'000};
  EXPECT_LE(further(), 1024);
}

TEST_F(ProductSizes, OfManyRowsAreFreeInOurOwnKernels) {
  shapes_.info.experts = 4;
  shapes_.info.experts_per_token = 2;
  shapes_.places.push_back({"model.layers.1.mlp.experts.gate_up_proj", models::Group::kExperts, 64, 40, 4});
  probe_.smallest_share = 0.1;
  probe_.largest_share = 0.5;
  probe_.expert_rows = {200, 300};
  batches_.parts = 200;
  EXPECT_GT(further(), 0);
  EXPECT_EQ(further(true), 0);
  batches_.lengths = {100, 200};  // those of attention by groups are LibTorch's
  EXPECT_EQ(further(true), 2 * 16);
  probe_.smallest_share = 0.001;  // experts with a few rows, which oneDNN multiplies if anything does
  if (models::fewest_free_rows() > 1) {
    EXPECT_GT(further(true), 2 * 16);
  } else {
    EXPECT_EQ(further(true), 2 * 16);
  }
}

}  // namespace
}  // namespace masbak::trainer
