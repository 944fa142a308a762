// Byte-pair encoding: Sennrich et al. 2016, as tokenizers applies it (models/bpe).
#pragma once

#include <memory>

#include "models/tokenizer/token_model.h"
#include "models/tokenizer/vocabulary.h"

namespace masbak::models {

// Ranks of pairs, in a table with open addressing: looked up for every pair of every new word.
class MergeTable {
 public:
  struct Merge {
    uint64_t pair = kEmpty;
    uint32_t rank = 0;
    int32_t id = 0;
  };
  void reserve(size_t merges);
  void insert(int32_t left, int32_t right, uint32_t rank, int32_t id);  // a repeated pair takes the later rank
  const Merge* find(int32_t left, int32_t right) const;

 private:
  static constexpr uint64_t kEmpty = ~0ull;
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot(uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15ull) >> shift_; }

  std::vector<Merge> table_{2};
  size_t mask_ = 1;
  int shift_ = 63;
};

class BpeModel : public TokenModel {
 public:
  explicit BpeModel(const Config& config);

  void encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> id(std::string_view token) const override { return vocabulary_.id(token); }
  const std::vector<std::optional<std::string>>& tokens() const override { return vocabulary_.tokens(); }
  size_t size() const override { return vocabulary_.size(); }

 private:
  void read_merges(const Config& config);
  void read_bytes();
  void encode_word(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const;
  bool whole_piece(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const;
  void start_symbols(std::string_view piece, bool bytes, std::vector<int32_t>& symbols) const;
  void start_characters(std::string_view piece, std::vector<int32_t>& symbols) const;
  bool start_fallback(std::string_view character, std::vector<int32_t>& symbols) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  std::optional<int32_t> unknown_;
  std::string prefix_, suffix_;
  bool unknown_is_missing_ = false, fuse_unknown_ = false, byte_fallback_ = false, ignore_merges_ = false;
  // For byte-level pieces: the token of each byte, -1 if there is none; and all tokens by their bytes.
  int32_t byte_ids_[256];
  bool all_bytes_ = false;
  Vocabulary::Ids ids_of_bytes_;  // only with ignore_merges
  int32_t fallback_ids_[256];     // <0x00> … <0xFF>
  uint64_t owner_;                // of words in the threads' caches
};

}  // namespace masbak::models
