#include "models/layers/paged_latents.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "base/error.h"
#include "models/kernels/cuda/library.h"
#include "models/layers/context.h"

namespace masbak::models {
namespace {

at::Tensor rows_of(const LatentPool& pool) { return pool.pages().flatten(0, 1); }

PageList& pages_of(const Segment& segment, int layer) { return (*segment.cache)[layer].page_list(); }

template <typename Number>
at::Tensor on_device(const std::vector<Number>& numbers, const at::Tensor& like) {
  return at::tensor(at::ArrayRef<Number>(numbers)).to(like.device());
}

}  // namespace

int32_t LatentPool::take(const at::Tensor& rows) {
  constexpr int64_t kFirst = 16;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (free_.empty()) {
    const int64_t count = pages_.defined() ? pages_.size(0) : 0, more = std::max(count, kFirst);
    at::Tensor larger = at::empty({count + more, kRows, rows.size(1)}, rows.options().requires_grad(false));
    if (count > 0) larger.narrow(0, 0, count).copy_(pages_);
    pages_ = larger;
    for (int64_t page = count + more; page-- > count;) free_.push_back(static_cast<int32_t>(page));
  }
  const int32_t page = free_.back();
  free_.pop_back();
  return page;
}

void LatentPool::give_back(const std::vector<int32_t>& pages) {
  const std::lock_guard<std::mutex> lock(mutex_);
  free_.insert(free_.end(), pages.begin(), pages.end());
}

int64_t LatentPool::free_pages() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(free_.size());
}

PageList::~PageList() {
  if (pool_) pool_->give_back(pages_);
}

PageList& PageList::operator=(PageList&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(pages_, other.pages_);
  return *this;
}

void PageList::grow(const std::shared_ptr<LatentPool>& pool, const at::Tensor& rows, int64_t length) {
  if (pool_ && pool_ != pool) {
    throw base::Error(base::Code::kInternal, "a cache must be used with the model that made it");
  }
  pool_ = pool;
  const int64_t needed = (length + LatentPool::kRows - 1) / LatentPool::kRows;
  while (static_cast<int64_t>(pages_.size()) < needed) pages_.push_back(pool->take(rows));
}

int64_t PageList::bytes() const {
  if (pages_.empty()) return 0;
  const at::Tensor& all = pool_->pages();
  return static_cast<int64_t>(pages_.size()) * LatentPool::kRows * all.size(2) * all.element_size();
}

void keep_in_pages(const std::shared_ptr<LatentPool>& pool, const std::vector<Segment>& segments, int layer,
                   const at::Tensor& kept_TC) {
  std::vector<int64_t> tokens, slots;
  for (const Segment& segment : segments) {
    if (!segment.cache) continue;
    PageList& list = pages_of(segment, layer);
    list.grow(pool, kept_TC, segment.past + segment.length);
    for (int64_t i = 0; i < segment.length; ++i) {
      tokens.push_back(segment.begin + i);
      slots.push_back(list.slot(segment.past + i));
    }
  }
  if (tokens.empty()) return;
  const at::Tensor kept = kept_TC.detach();
  const bool all = static_cast<int64_t>(tokens.size()) == kept.size(0);
  rows_of(*pool).index_copy_(0, on_device(slots, kept), all ? kept : kept.index_select(0, on_device(tokens, kept)));
}

at::Tensor rows_in_pages(const LatentPool& pool, const Segment& segment, int layer) {
  const PageList& list = pages_of(segment, layer);
  const int64_t length = segment.past + segment.length;
  const at::Tensor pages = on_device(list.pages(), pool.pages());
  return pool.pages().index_select(0, pages).flatten(0, 1).narrow(0, 0, length);
}

at::Tensor attend_pages(const LatentPool& pool, const std::vector<const Segment*>& segments, int layer,
                        const at::Tensor& q_HBC, int64_t latent_size, double scale) {
  const int64_t heads = q_HBC.size(0), tokens = q_HBC.size(1), size = q_HBC.size(2);
  size_t width = 1;
  for (const Segment* segment : segments) width = std::max(width, pages_of(*segment, layer).pages().size());
  std::vector<int32_t> table, sequence_of, lengths;
  for (size_t s = 0; s < segments.size(); ++s) {
    const std::vector<int32_t>& pages = pages_of(*segments[s], layer).pages();
    table.insert(table.end(), pages.begin(), pages.end());
    table.resize((s + 1) * width, -1);
    for (int64_t i = 0; i < segments[s]->length; ++i) {
      sequence_of.push_back(static_cast<int32_t>(s));
      lengths.push_back(static_cast<int32_t>(segments[s]->past + i + 1));
    }
  }
  const at::Tensor q = q_HBC.stride(2) == 1 ? q_HBC : q_HBC.contiguous();
  const at::Tensor device_table = on_device(table, q), device_sequences = on_device(sequence_of, q);
  const at::Tensor device_lengths = on_device(lengths, q);
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  cuda::LatentDecode a;
  a.splits = cuda::latent_decode_splits(tokens, heads, longest);
  const at::TensorOptions floats = q.options().dtype(at::kFloat);
  const at::Tensor partial = at::empty({tokens, heads, a.splits, latent_size}, floats);
  const at::Tensor log_sums = at::empty({tokens, heads, a.splits}, floats);
  at::Tensor out_HBR = at::empty({heads, tokens, latent_size}, q.options());
  a.type = cuda::type_of(q);
  a.queries = q.const_data_ptr();
  a.query_token_stride = q.stride(1);
  a.query_head_stride = q.stride(0);
  a.pages = pool.pages().const_data_ptr();
  a.page_stride = LatentPool::kRows * size;
  a.row_stride = size;
  a.page_count = pool.pages().size(0);
  a.page_size = LatentPool::kRows;
  a.block_table = device_table.const_data_ptr<int32_t>();
  a.table_stride = static_cast<int64_t>(width);
  a.sequence_of = device_sequences.const_data_ptr<int32_t>();
  a.lengths = device_lengths.const_data_ptr<int32_t>();
  a.tokens = tokens;
  a.heads = heads;
  a.latent = latent_size;
  a.rope = size - latent_size;
  a.scale = static_cast<float>(scale);
  a.partial = partial.mutable_data_ptr<float>();
  a.partial_log_sums = log_sums.mutable_data_ptr<float>();
  a.out = out_HBR.mutable_data_ptr();
  a.out_token_stride = out_HBR.stride(1);
  a.out_head_stride = out_HBR.stride(0);
  cuda::launch(cuda::kernels_for(q)->latent_decode, q, a);
  return out_HBR;
}

bool can_attend_pages(const at::Tensor& kept_TC, int64_t latent_size) {
  return cuda::kernels_for(kept_TC) && latent_size <= cuda::kLargestLatent && kept_TC.size(1) <= cuda::kLargestRow;
}

}  // namespace masbak::models
