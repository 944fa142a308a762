// Latents of many sequences in pages of one pool a layer: how a GPU keeps them, so that no sequence's memory is copied
// as it grows, and one kernel reads all sequences through their lists of pages (PagedAttention, Kwon et al. 2023).
//
// Shape letters: T tokens, C = R + 2 F numbers kept of a token, R size of the latent, H heads, B single tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace masbak::models {

struct Segment;

// Pages are handed out and given back one by one; the pool grows by doubling. Safe from any thread, but for the
// numbers in the pages.
class LatentPool {
 public:
  static constexpr int64_t kRows = 64;  // a page

  // Room for one more page of `width` numbers a row, like those of `rows`.
  int32_t take(const at::Tensor& rows);
  void give_back(const std::vector<int32_t>& pages);
  // [pages, kRows, C]; what the pages hold keeps its place as the pool grows.
  const at::Tensor& pages() const { return pages_; }
  int64_t free_pages() const;

 private:
  mutable std::mutex mutex_;
  at::Tensor pages_;
  std::vector<int32_t> free_;
};

// The pages of one sequence, given back when it ends.
class PageList {
 public:
  PageList() = default;
  ~PageList();
  PageList(PageList&& other) noexcept = default;
  PageList& operator=(PageList&& other) noexcept;

  // Makes room for `length` rows like `rows` in `pool`. A list belongs to one pool for good.
  void grow(const std::shared_ptr<LatentPool>& pool, const at::Tensor& rows, int64_t length);
  const std::vector<int32_t>& pages() const { return pages_; }
  // Where row i lies among all rows of the pool.
  int64_t slot(int64_t i) const { return pages_[i / LatentPool::kRows] * LatentPool::kRows + i % LatentPool::kRows; }
  int64_t bytes() const;

 private:
  std::shared_ptr<LatentPool> pool_;
  std::vector<int32_t> pages_;
};

// Writes each segment's rows of kept_TC behind its past, in the segments' pages of `layer`. Segments without a cache
// are passed over.
void keep_in_pages(const std::shared_ptr<LatentPool>& pool, const std::vector<Segment>& segments, int layer,
                   const at::Tensor& kept_TC);

// All rows of a segment, past and new, side by side again: [past + length, C].
at::Tensor rows_in_pages(const LatentPool& pool, const Segment& segment, int layer);

// softmax(scale * q row^T) row[0 : R] of each token of the segments, which sees its sequence up to itself: q_HBC
// -> [H, B, R]. On tensors that cuda::kernels_for knows, with R and C no larger than its kernel can.
at::Tensor attend_pages(const LatentPool& pool, const std::vector<const Segment*>& segments, int layer,
                        const at::Tensor& q_HBC, int64_t latent_size, double scale);
bool can_attend_pages(const at::Tensor& kept_TC, int64_t latent_size);

}  // namespace masbak::models
