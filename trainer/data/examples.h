// Training examples as token ids, wherever they lie: in memory, or in a mapped file of the token cache. No LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace masbak::trainer {

// A label that is not learnt, as in transformers.
inline constexpr int32_t kIgnoredLabel = -100;

// One training example, seen where it lies; the spans live as long as the Examples that gave them. labels[i] is the
// id to be predicted at place i (as in transformers: the shift happens in the loss), or -100 where nothing is learnt.
struct TokenView {
  std::span<const int32_t> ids, labels;
  int line = 0;  // of the row in its file, from 1
  // A preference pair: ids and labels are prompt and chosen answer, these are prompt and rejected answer, both with
  // labels on the answer alone. Empty for everything else.
  std::span<const int32_t> rejected_ids, rejected_labels;
  bool desirable = true;  // format kto: the row's label

  int64_t tokens() const { return static_cast<int64_t>(ids.size() + rejected_ids.size()); }
};

// The same, owned.
struct TokenSequence {
  std::vector<int32_t> ids, labels;
  int line = 0;
  std::vector<int32_t> rejected_ids, rejected_labels;
  bool desirable = true;

  operator TokenView() const { return {ids, labels, line, rejected_ids, rejected_labels, desirable}; }
};

// Labels that the loss sees: the first of a sequence has nothing before it to be predicted from.
int64_t count_trained(const TokenView& example);

// A list of examples that does not change. Cheap to copy; thread-safe to read. Mapped examples take no memory of the
// process beyond a bounded number of pages that the system may take back.
class Examples {
 public:
  Examples();
  // In memory. Implicit on purpose: a list of sequences is a list of examples.
  Examples(std::vector<TokenSequence> sequences);
  // What ExampleWriter wrote. DATA_LOSS if the files do not fit one another.
  static Examples open(const std::filesystem::path& folder);

  int64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // `index` from 0 to size() - 1.
  TokenView operator[](int64_t index) const;
  // Tokens of an example, without touching them.
  int64_t tokens(int64_t index) const;
  // First 64 bits of the digest of what the example says: alike for rows that say the same in one format.
  uint64_t content(int64_t index) const;

  // Those at `indices`, in that order.
  Examples select(std::vector<uint32_t> indices) const;
  // `owner` lives as long as these examples and their copies.
  void keep(std::shared_ptr<const void> owner);
  // All of `lists`, one after the other.
  static Examples joined(const std::vector<Examples>& lists);

 private:
  class Store;
  class MemoryStore;
  class MappedStore;
  struct Part {
    std::shared_ptr<const Store> store;
    std::shared_ptr<const std::vector<uint32_t>> selected;  // null: all
    std::shared_ptr<const void> owner;                      // kept alive
    int64_t begin = 0;                                      // index of its first example in the whole list
    int64_t size = 0;
  };
  // The part that holds `index`, and the place in its store.
  std::pair<const Store*, int64_t> find(int64_t index) const;
  void append(Part part);

  std::vector<Part> parts_;
  int64_t size_ = 0;
};

// Writes examples to a folder that Examples::open reads: `tokens` (int32: ids, labels, rejected ids, rejected labels
// of one example after the other) and `index` (an entry of fixed size an example), in the machine's byte order.
class ExampleWriter {
 public:
  explicit ExampleWriter(const std::filesystem::path& folder);
  ~ExampleWriter();
  ExampleWriter(const ExampleWriter&) = delete;
  ExampleWriter& operator=(const ExampleWriter&) = delete;
  void add(const TokenView& example, uint64_t content);
  // RESOURCE_EXHAUSTED on a full disk.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace masbak::trainer
