#include "trainer/data/examples.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/durable_file.h"
#include "base/error.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;

// Pages that were read stay with the process until this much was read since they were last given back.
constexpr int64_t kMostMappedBytes = 64 << 20;

struct IndexEntry {
  uint64_t begin = 0;  // in `tokens`, in numbers of 4 bytes
  uint64_t content = 0;
  uint32_t length = 0, rejected_length = 0;
  int32_t line = 0;
  uint32_t desirable = 1;

  uint64_t numbers() const { return 2 * (static_cast<uint64_t>(length) + rejected_length); }
};
static_assert(sizeof(IndexEntry) == 32);

}  // namespace

int64_t count_trained(const TokenView& example) {
  int64_t count = 0;
  for (const auto& labels : {example.labels, example.rejected_labels}) {
    if (labels.empty()) continue;
    count += std::count_if(labels.begin() + 1, labels.end(), [](int32_t label) { return label != kIgnoredLabel; });
  }
  return count;
}

class Examples::Store {
 public:
  virtual ~Store() = default;
  virtual int64_t size() const = 0;
  virtual TokenView at(int64_t index) const = 0;
  virtual int64_t tokens(int64_t index) const = 0;
  virtual uint64_t content(int64_t index) const = 0;
};

class Examples::MemoryStore final : public Store {
 public:
  explicit MemoryStore(std::vector<TokenSequence> sequences) : sequences_(std::move(sequences)) {}
  int64_t size() const override { return static_cast<int64_t>(sequences_.size()); }
  TokenView at(int64_t index) const override { return sequences_[static_cast<size_t>(index)]; }
  int64_t tokens(int64_t index) const override { return at(index).tokens(); }
  // FNV-1a over the ids: sequences in memory have no row that they came from.
  uint64_t content(int64_t index) const override {
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (const int32_t id : sequences_[static_cast<size_t>(index)].ids) {
      hash = (hash ^ static_cast<uint32_t>(id)) * 0x100000001b3ULL;
    }
    return hash;
  }

 private:
  std::vector<TokenSequence> sequences_;
};

class Examples::MappedStore final : public Store {
 public:
  explicit MappedStore(const fs::path& folder) : index_(folder / "index"), tokens_(folder / "tokens") {
    const size_t entries = index_.bytes().size() / sizeof(IndexEntry);
    bool whole = index_.bytes().size() % sizeof(IndexEntry) == 0;
    if (whole && entries > 0) {
      const IndexEntry last = entry(static_cast<int64_t>(entries) - 1);
      whole = (last.begin + last.numbers()) * sizeof(int32_t) == tokens_.bytes().size();
    }
    if (!whole) {
      throw base::Error(base::Code::kDataLoss, "the files of the token cache do not fit one another; remove the folder",
                        {folder.string(), 0, ""});
    }
    size_ = static_cast<int64_t>(entries);
  }

  int64_t size() const override { return size_; }

  TokenView at(int64_t index) const override {
    const IndexEntry found = entry(index);
    const auto* numbers = reinterpret_cast<const int32_t*>(tokens_.bytes().data()) + found.begin;
    give_back(static_cast<int64_t>(found.numbers() * sizeof(int32_t)));
    return {{numbers, found.length},
            {numbers + found.length, found.length},
            found.line,
            {numbers + 2 * static_cast<uint64_t>(found.length), found.rejected_length},
            {numbers + 2 * static_cast<uint64_t>(found.length) + found.rejected_length, found.rejected_length},
            found.desirable != 0};
  }

  int64_t tokens(int64_t index) const override {
    const IndexEntry found = entry(index);
    return static_cast<int64_t>(found.length) + found.rejected_length;
  }

  uint64_t content(int64_t index) const override { return entry(index).content; }

 private:
  IndexEntry entry(int64_t index) const {
    IndexEntry result;
    std::memcpy(&result, index_.bytes().data() + static_cast<size_t>(index) * sizeof(IndexEntry), sizeof result);
    return result;
  }

  // Pages of a read-only map are only unmapped by this: views stay valid, and what they show is read again.
  void give_back(int64_t bytes) const {
    const int64_t page = 64 << 10;  // the system maps the neighbours of a page too
    if (touched_.fetch_add(bytes + page) + bytes + page < kMostMappedBytes) return;
    touched_ = 0;
    for (const base::MappedFile* file : {&index_, &tokens_}) {
      const std::string_view all = file->bytes();
      if (!all.empty()) madvise(const_cast<char*>(all.data()), all.size(), MADV_DONTNEED);
    }
  }

  base::MappedFile index_, tokens_;
  int64_t size_ = 0;
  mutable std::atomic<int64_t> touched_{0};
};

Examples::Examples() = default;

Examples::Examples(std::vector<TokenSequence> sequences) {
  append({std::make_shared<MemoryStore>(std::move(sequences)), nullptr, nullptr, 0, 0});
}

Examples Examples::open(const fs::path& folder) {
  Examples result;
  result.append({std::make_shared<MappedStore>(folder), nullptr, nullptr, 0, 0});
  return result;
}

void Examples::append(Part part) {
  part.begin = size_;
  part.size = part.selected ? static_cast<int64_t>(part.selected->size()) : part.store->size();
  if (part.size == 0) return;
  size_ += part.size;
  parts_.push_back(std::move(part));
}

std::pair<const Examples::Store*, int64_t> Examples::find(int64_t index) const {
  auto part = std::upper_bound(parts_.begin(), parts_.end(), index,
                               [](int64_t place, const Part& candidate) { return place < candidate.begin; });
  --part;
  const int64_t place = index - part->begin;
  return {part->store.get(), part->selected ? (*part->selected)[static_cast<size_t>(place)] : place};
}

TokenView Examples::operator[](int64_t index) const {
  const auto [store, place] = find(index);
  return store->at(place);
}

int64_t Examples::tokens(int64_t index) const {
  const auto [store, place] = find(index);
  return store->tokens(place);
}

uint64_t Examples::content(int64_t index) const {
  const auto [store, place] = find(index);
  return store->content(place);
}

Examples Examples::select(std::vector<uint32_t> indices) const {
  // Parts keep their stores, so that a selection of a selection is one more list of indices and nothing else.
  Examples result;
  std::vector<uint32_t> places;
  for (size_t i = 0; i < indices.size();) {
    const Store* store = find(indices[i]).first;
    places.clear();
    size_t end = i;
    for (; end < indices.size() && find(indices[end]).first == store; ++end) {
      places.push_back(static_cast<uint32_t>(find(indices[end]).second));
    }
    const auto part = std::find_if(parts_.begin(), parts_.end(),
                                   [store](const Part& candidate) { return candidate.store.get() == store; });
    places.shrink_to_fit();
    result.append({part->store, std::make_shared<const std::vector<uint32_t>>(std::move(places)), part->owner, 0, 0});
    i = end;
  }
  return result;
}

void Examples::keep(std::shared_ptr<const void> owner) {
  for (Part& part : parts_) part.owner = owner;
}

Examples Examples::joined(const std::vector<Examples>& lists) {
  Examples result;
  for (const Examples& list : lists) {
    for (const Part& part : list.parts_) result.append(part);
  }
  return result;
}

struct ExampleWriter::State {
  explicit State(const fs::path& folder) : tokens(folder / "tokens"), index(folder / "index") {}
  base::DurableWriter tokens, index;
  uint64_t numbers = 0;
};

ExampleWriter::ExampleWriter(const fs::path& folder) : state_(std::make_unique<State>(folder)) {}
ExampleWriter::~ExampleWriter() = default;

void ExampleWriter::add(const TokenView& example, uint64_t content) {
  IndexEntry entry;
  entry.begin = state_->numbers;
  entry.content = content;
  entry.length = static_cast<uint32_t>(example.ids.size());
  entry.rejected_length = static_cast<uint32_t>(example.rejected_ids.size());
  entry.line = example.line;
  entry.desirable = example.desirable ? 1 : 0;
  for (const auto& numbers : {example.ids, example.labels, example.rejected_ids, example.rejected_labels}) {
    state_->tokens.write({reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes()});
  }
  state_->index.write({reinterpret_cast<const char*>(&entry), sizeof entry});
  state_->numbers += entry.numbers();
}

void ExampleWriter::finish() {
  state_->tokens.commit();
  state_->index.commit();
}

}  // namespace masbak::trainer
