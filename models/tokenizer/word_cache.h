// Words that a thread has met, with their ids: most words of a text are repeats.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace masbak::models {

// A table where a new word replaces the one in its slot. One a thread, shared by the models in turn.
class WordCache {
 public:
  static constexpr size_t kLongestWord = 43, kMostIds = 11, kSlots = 1 << 15;

  // The cache of this thread, emptied if another model used it last. `owner` is next_owner()'s.
  static WordCache& of_thread(uint64_t owner);
  static uint64_t next_owner();

  static bool fits(std::string_view word) { return word.size() <= kLongestWord; }

  // Appends the ids of `word` if it is known. Otherwise calls compute(word, ids) and keeps what it appended.
  template <typename Compute>
  void encode(std::string_view word, bool bytes, std::vector<int32_t>& ids, Compute&& compute) {
    const uint64_t hash = hash_of(word, bytes);
    Slot& slot = slots_[hash >> (64 - 15)];
    const uint32_t tag = static_cast<uint32_t>(hash);
    if (slot.count > 0 && slot.tag == tag && slot.bytes == bytes && slot.length == word.size() &&
        std::memcmp(slot.word, word.data(), word.size()) == 0) {
      ids.insert(ids.end(), slot.ids, slot.ids + slot.count);
      return;
    }
    const size_t before = ids.size();
    compute(word, ids);
    const size_t count = ids.size() - before;
    if (count == 0 || count > kMostIds) return;
    slot.tag = tag;
    slot.bytes = bytes;
    slot.length = static_cast<uint8_t>(word.size());
    slot.count = static_cast<uint8_t>(count);
    std::memcpy(slot.word, word.data(), word.size());
    std::memcpy(slot.ids, ids.data() + before, count * sizeof(int32_t));
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint8_t length = 0, count = 0;
    bool bytes = false;
    char word[kLongestWord];
    int32_t ids[kMostIds];
  };

  // Eight bytes at a time; words are short.
  static uint64_t hash_of(std::string_view word, bool bytes) {
    uint64_t hash = (word.size() * 2 + (bytes ? 1 : 0)) * 0x9E3779B97F4A7C15ull;
    const char* at = word.data();
    size_t left = word.size();
    for (; left >= 8; at += 8, left -= 8) {
      uint64_t part;
      std::memcpy(&part, at, 8);
      hash = mix(hash ^ part);
    }
    uint64_t part = 0;
    std::memcpy(&part, at, left & 7);
    return mix(hash ^ part);
  }
  static uint64_t mix(uint64_t value) {
    value *= 0xD6E8FEB86659FD93ull;
    value ^= value >> 32;
    return value * 0xD6E8FEB86659FD93ull;
  }

  uint64_t owner_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace masbak::models
