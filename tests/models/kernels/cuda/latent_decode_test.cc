// The body of the decoding attention's CUDA kernel, run on the CPU, against ATen in double precision.
#include "models/kernels/cuda/latent_decode.h"

#include "tests/models/kernels/cuda/tensors.h"

namespace masbak::models::cuda {
namespace {

struct Sizes {
  int64_t heads, latent, rope, page_size;
  std::vector<int64_t> lengths;  // of each sequence
  int64_t splits;
};

// A pool of pages in random order, with more pages than needed and memory between rows and pages that is NaN.
class Case {
 public:
  Case(const Sizes& sizes, const Precision& precision) : sizes_(sizes), precision_(precision) {
    const int64_t size = sizes.latent + sizes.rope, sequences = static_cast<int64_t>(sizes.lengths.size());
    const int64_t longest = *std::max_element(sizes.lengths.begin(), sizes.lengths.end());
    const int64_t width = std::max<int64_t>(1, (longest + sizes.page_size - 1) / sizes.page_size);
    const int64_t count = sequences * width + 2, row = size + 3, page = sizes.page_size * row + 5;
    const at::Tensor memory =
        at::full({count * page}, std::numeric_limits<double>::quiet_NaN(), at::TensorOptions().dtype(precision.dtype));
    pages_ = memory.as_strided({count, sizes.page_size, size}, {page, row, 1});
    table_ = at::randperm(count, at::kLong).narrow(0, 0, sequences * width).view({sequences, width}).to(at::kInt);
    for (int64_t s = 0; s < sequences; ++s) {  // only rows that hold a token are written
      for (int64_t i = 0; i < sizes.lengths[s]; ++i) {
        pages_[table_[s][i / sizes.page_size].item<int32_t>()][i % sizes.page_size].copy_(at::randn({size}));
      }
    }
  }

  // Token t belongs to sequence of[t] and sees `seen[t]` rows.
  void ask(const std::vector<int32_t>& of, const std::vector<int32_t>& seen) {
    of_ = at::tensor(of);
    seen_ = at::tensor(seen);
    const int64_t tokens = of_.size(0), size = sizes_.latent + sizes_.rope;
    queries_ = at::randn({sizes_.heads, tokens, size + 1}).to(precision_.dtype).narrow(2, 0, size).transpose(0, 1);
  }

  at::Tensor found(Order order = Order::kForwards) {
    const int64_t tokens = of_.size(0);
    const at::Tensor out = unwritten({sizes_.heads, tokens, sizes_.latent}, precision_.dtype).transpose(0, 1);
    log_sums_ = unwritten({tokens, sizes_.heads}, at::kFloat);
    const at::Tensor partial = unwritten({tokens, sizes_.heads, sizes_.splits, sizes_.latent}, at::kFloat);
    const at::Tensor partial_log_sums = unwritten({tokens, sizes_.heads, sizes_.splits}, at::kFloat);
    LatentDecode a;
    a.type = precision_.type;
    a.queries = queries_.const_data_ptr();
    a.query_token_stride = queries_.stride(0);
    a.query_head_stride = queries_.stride(1);
    a.pages = pages_.const_data_ptr();
    a.page_stride = pages_.stride(0);
    a.row_stride = pages_.stride(1);
    a.page_count = pages_.size(0);
    a.page_size = sizes_.page_size;
    a.block_table = table_.const_data_ptr<int32_t>();
    a.table_stride = table_.size(1);
    a.sequence_of = of_.const_data_ptr<int32_t>();
    a.lengths = seen_.const_data_ptr<int32_t>();
    a.tokens = tokens;
    a.heads = sizes_.heads;
    a.latent = sizes_.latent;
    a.rope = sizes_.rope;
    a.scale = kScale;
    a.splits = sizes_.splits;
    a.partial = partial.mutable_data_ptr<float>();
    a.partial_log_sums = partial_log_sums.mutable_data_ptr<float>();
    a.out = out.mutable_data_ptr();
    a.out_token_stride = out.stride(0);
    a.out_head_stride = out.stride(1);
    a.log_sums = log_sums_.mutable_data_ptr<float>();
    EXPECT_EQ(host_kernels(order).latent_decode(a, nullptr), nullptr);
    return out;
  }

  void expect_agreement() {
    const at::Tensor out = found();
    const at::Tensor log_sums = log_sums_;
    for (int64_t t = 0; t < of_.size(0); ++t) {
      const int64_t length = seen_[t].item<int32_t>(), s = of_[t].item<int32_t>();
      if (length == 0) {
        EXPECT_EQ(out[t].abs().max().item<double>(), 0);
        EXPECT_TRUE(at::isneginf(log_sums[t]).all().item<bool>());
        continue;
      }
      const at::Tensor rows = pages_.index_select(0, table_[s]).flatten(0, 1).narrow(0, 0, length).to(at::kDouble);
      const at::Tensor scores = at::matmul(queries_[t].to(at::kDouble), rows.t()) * kScale;
      const at::Tensor wanted = at::matmul(at::softmax(scores, -1), rows.narrow(1, 0, sizes_.latent));
      EXPECT_LT(difference(out[t], wanted), 3 * precision_.tolerance) << "token " << t;
      EXPECT_LT(difference(log_sums[t], scores.logsumexp(-1)), 1e-4 + 1e-6 * scores.abs().max().item<double>())
          << "token " << t;
    }
    EXPECT_TRUE(same_bits(found(Order::kBackwards).contiguous(), out.contiguous()));
  }

  at::Tensor& table() { return table_; }
  void scale_queries(double factor) { queries_.mul_(factor); }

 private:
  static constexpr float kScale = 0.4F;
  Sizes sizes_;
  Precision precision_;
  at::Tensor pages_, table_, queries_, of_, seen_, log_sums_;
};

std::vector<int32_t> whole_numbers(const std::vector<int64_t>& numbers) { return {numbers.begin(), numbers.end()}; }

TEST(CudaLatentDecode, AgreesWithAtenOverManyShapes) {
  at::manual_seed(5);
  const Sizes cases[] = {
      {1, 1, 0, 1, {1}, 1},
      {1, 3, 2, 1, {5}, 2},
      {8, 16, 4, 16, {16, 1, 17, 0}, 1},
      {9, 20, 6, 4, {33, 2, 64, 15}, 3},
      {3, 130, 7, 7, {100}, 4},
      {16, 64, 16, 64, {1, 63, 64, 65, 129}, 5},
      {2, 513, 64, 32, {40, 3}, 2},  // two columns a thread and more
      {5, 12, 4, 3, {0, 0}, 8},      // nothing seen at all
      {4, 24, 8, 16, {7, 90}, 64},   // more splits than rows
  };
  for (const Precision& p : kPrecisions) {
    for (const Sizes& sizes : cases) {
      SCOPED_TRACE(testing::Message() << sizes.heads << " heads, latent " << sizes.latent << ", pages of "
                                      << sizes.page_size << ", " << sizes.splits << " splits");
      Case c(sizes, p);
      std::vector<int32_t> of(sizes.lengths.size());
      for (size_t s = 0; s < of.size(); ++s) of[s] = static_cast<int32_t>(s);
      c.ask(of, whole_numbers(sizes.lengths));
      c.expect_agreement();
    }
  }
}

// New tokens behind a past: each is a token of its own that sees one row more than the one before it.
TEST(CudaLatentDecode, TokensOfOneSequenceSeeUpToThemselves) {
  at::manual_seed(6);
  Case c({4, 32, 8, 8, {21, 40}, 2}, kPrecisions[0]);
  c.ask({1, 1, 1, 0, 0}, {38, 39, 40, 20, 21});
  c.expect_agreement();
}

TEST(CudaLatentDecode, APageThatIsNotThereIsNoNumberAndNoFault) {
  at::manual_seed(7);
  Case c({2, 8, 4, 4, {12, 12}, 2}, kPrecisions[0]);
  c.ask({0, 1}, {12, 12});
  c.table()[0][2] = 1 << 20;
  const at::Tensor out = c.found();
  EXPECT_TRUE(out[0].isnan().all().item<bool>());
  EXPECT_FALSE(out[1].isnan().any().item<bool>());
  c.ask({0, 1}, {8, 12});  // what lies behind the length is not looked at
  EXPECT_FALSE(c.found().isnan().any().item<bool>());
}

TEST(CudaLatentDecode, LengthsEndWithTheTable) {
  at::manual_seed(8);
  Case c({2, 8, 4, 4, {12}, 2}, kPrecisions[0]);
  c.ask({0, 0}, {12, 12});
  const at::Tensor first = c.found();
  c.ask({0, 0}, {500, -3});
  const at::Tensor out = c.found();
  EXPECT_FALSE(out.isnan().any().item<bool>());
  EXPECT_EQ(out[1].abs().max().item<double>(), 0);
  EXPECT_EQ(first.sizes(), out.sizes());
}

TEST(CudaLatentDecode, ScoresMayBeLarge) {
  at::manual_seed(9);
  Case c({1, 16, 0, 8, {50}, 3}, kPrecisions[0]);
  c.ask({0}, {50});
  // Scores of some thousands, which exp() alone could not take.
  c.scale_queries(1000);
  c.expect_agreement();
}

TEST(CudaLatentDecode, SplitsFillTheGpuAndKeepRowsTogether) {
  EXPECT_EQ(latent_decode_splits(1, 16, 100), 1);
  EXPECT_EQ(latent_decode_splits(1, 16, 4096), 16);
  EXPECT_EQ(latent_decode_splits(1, 16, 1 << 20), kMostSplits);
  EXPECT_EQ(latent_decode_splits(64, 128, 1 << 20), 1);
  EXPECT_EQ(latent_decode_splits(0, 16, 0), 1);
}

TEST(CudaLatentDecode, RefusesWhatItCannotDo) {
  LatentDecode a;
  a.tokens = a.heads = a.page_size = 1;
  a.latent = kLargestLatent + 1;
  a.row_stride = 2000;
  EXPECT_NE(host_kernels().latent_decode(a, nullptr), nullptr);
  a.latent = 512;
  a.splits = kMostSplits + 1;
  EXPECT_NE(host_kernels().latent_decode(a, nullptr), nullptr);
  a.splits = 1;
  a.row_stride = 511;
  EXPECT_NE(host_kernels().latent_decode(a, nullptr), nullptr);
}

// The largest sizes allowed fit in what a GPU of generation 8.0 has, which the stand-in for it checks.
TEST(CudaLatentDecode, TheLargestSizesFit) {
  Case c({1, kLargestLatent, kLargestRow - kLargestLatent, 2, {3}, 1}, kPrecisions[0]);
  c.ask({0}, {3});
  c.expect_agreement();
}

}  // namespace
}  // namespace masbak::models::cuda
