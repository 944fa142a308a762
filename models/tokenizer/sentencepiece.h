// SentencePiece's model file (google/sentencepiece, sentencepiece_model.proto), written as a tokenizer.json: what
// transformers converts it to.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/config.h"
#include "models/tokenizer/special_names.h"

namespace masbak::models {

struct SentencePieceModel {
  enum class Type { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::kNormal;
  };
  std::vector<Piece> pieces;
  bool unigram = true;
  bool byte_fallback = false;
  int64_t unk_id = 0, bos_id = 1, eos_id = 2;
  std::string unk_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>";
  std::string character_map;
};

// INVALID_ARGUMENT with the place in the file if it is none, UNIMPLEMENTED for word and character models.
SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& file);

// The tokenizer.json that transformers makes of it for the tokenizer class of tokenizer_config: LlamaTokenizer, or
// none in particular. UNIMPLEMENTED, by name, for another class. Completes the names by the model's own.
TokenizerJson sentencepiece_document(const SentencePieceModel& model, const std::string& file, SpecialNames& names);

}  // namespace masbak::models
