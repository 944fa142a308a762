#include "models/tokenizer/sentencepiece.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "models/tokenizer/base64.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

// No piece is longer; the merges of one grow with the square of its length.
constexpr size_t kLongestPiece = 4096;

// Fields of one protobuf message, in the order of the file.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, const std::string& file, std::string field)
      : bytes_(bytes), file_(file), field_(std::move(field)) {}

  // Moves on to the next field; false at the end.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const uint64_t key = varint();
    number = key >> 3;
    switch (key & 7) {
      case 0: value = varint(); break;
      case 1: text = take(8); break;
      case 2: text = take(varint()); break;
      case 5: text = take(4); break;
      default: fail("a field of wire type " + std::to_string(key & 7));
    }
    wire_type = static_cast<int>(key & 7);
    return true;
  }
  std::string_view bytes() const {
    if (wire_type != 2) fail("a number where field " + std::to_string(number) + " is a text");
    return text;
  }
  std::string utf8() const {
    if (!is_valid_utf8(bytes())) fail("a text that is not UTF-8 in field " + std::to_string(number));
    return std::string(text);
  }
  int64_t integer() const {
    if (wire_type != 0) fail("a text where field " + std::to_string(number) + " is a number");
    return static_cast<int64_t>(value);
  }
  float decimal() const {
    if (wire_type != 5) fail("another value where field " + std::to_string(number) + " is a float");
    float result = 0;
    std::memcpy(&result, text.data(), 4);
    if (!std::isfinite(result)) fail("a score that is not finite");
    return result;
  }
  [[noreturn]] void fail(const std::string& found) const {
    base::fail_input("expected a SentencePiece model, found " + found + " at byte " + std::to_string(at_) +
                         "; take the file from the model's publisher again",
                     {.file = file_, .field = field_});
  }

  uint64_t number = 0;

 private:
  uint64_t varint() {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) fail("its end inside a number");
      const uint64_t byte = static_cast<unsigned char>(bytes_[at_++]);
      result |= (byte & 0x7F) << shift;
      if (byte < 0x80) return result;
    }
    fail("a number of more than 64 bits");
  }
  std::string_view take(uint64_t size) {
    if (size > bytes_.size() - at_) fail("its end inside field " + std::to_string(number));
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }

  std::string_view bytes_;
  const std::string& file_;
  std::string field_;
  size_t at_ = 0;
  int wire_type = 0;
  uint64_t value = 0;
  std::string_view text;
};

SentencePieceModel::Piece read_piece(std::string_view bytes, const std::string& file, size_t index) {
  SentencePieceModel::Piece piece;
  ProtoReader reader(bytes, file, "pieces[" + std::to_string(index) + "]");
  while (reader.next()) {
    if (reader.number == 1) piece.text = reader.utf8();
    if (reader.number == 2) piece.score = reader.decimal();
    if (reader.number == 3) {
      const int64_t type = reader.integer();
      if (type < 1 || type > 6) reader.fail("a piece of type " + std::to_string(type));
      piece.type = static_cast<SentencePieceModel::Type>(type);
    }
  }
  if (piece.text.empty() || piece.text.size() > kLongestPiece) {
    reader.fail("a piece of " + std::to_string(piece.text.size()) + " bytes");
  }
  return piece;
}

void read_trainer(std::string_view bytes, const std::string& file, SentencePieceModel& model) {
  ProtoReader reader(bytes, file, "trainer_spec");
  while (reader.next()) {
    switch (reader.number) {
      case 3:
        if (reader.integer() != 1 && reader.integer() != 2) {
          throw base::Error(base::Code::kUnimplemented,
                            "SentencePiece models of words or characters are not implemented; use unigram or bpe",
                            {.file = file, .field = "trainer_spec.model_type"});
        }
        model.unigram = reader.integer() == 1;
        break;
      case 35: model.byte_fallback = reader.integer() != 0; break;
      // Ids are 32-bit integers; -1 means that there is none.
      case 40: model.unk_id = static_cast<int32_t>(reader.integer()); break;
      case 41: model.bos_id = static_cast<int32_t>(reader.integer()); break;
      case 42: model.eos_id = static_cast<int32_t>(reader.integer()); break;
      case 45: model.unk_piece = reader.utf8(); break;
      case 46: model.bos_piece = reader.utf8(); break;
      case 47: model.eos_piece = reader.utf8(); break;
      default: break;
    }
  }
}

TokenizerJson replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

// Every way to make a piece of two others is a merge, ranked by the piece's id and the length of the first.
TokenizerJson merges_of(const SentencePieceModel& model) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t i = 0; i < model.pieces.size(); ++i) ids[model.pieces[i].text] = i;
  TokenizerJson merges = TokenizerJson::array();
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const std::string_view piece = model.pieces[i].text;
    if (ids[piece] != i) continue;
    for (size_t at = 0; next_code_point(piece, at), at < piece.size();) {
      const std::string_view left = piece.substr(0, at), right = piece.substr(at);
      if (ids.contains(left) && ids.contains(right)) merges.push_back({left, right});
    }
  }
  return merges;
}

TokenizerJson bpe_model(const SentencePieceModel& model, const std::string& file, bool byte_fallback) {
  TokenizerJson vocabulary = TokenizerJson::object();
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    if (!vocabulary.emplace(model.pieces[i].text, i).second) {
      base::fail_input("expected each piece once, found \"" + model.pieces[i].text + "\" again",
                       {.file = file, .field = "pieces[" + std::to_string(i) + "]"});
    }
  }
  return {{"type", "BPE"},       {"vocab", std::move(vocabulary)}, {"merges", merges_of(model)},
          {"fuse_unk", true},    {"byte_fallback", byte_fallback}, {"dropout", nullptr},
          {"unk_token", nullptr}};
}

TokenizerJson unigram_model(const SentencePieceModel& model) {
  TokenizerJson vocabulary = TokenizerJson::array();
  for (const auto& piece : model.pieces) vocabulary.push_back({piece.text, static_cast<double>(piece.score)});
  return {{"type", "Unigram"},
          {"vocab", std::move(vocabulary)},
          {"unk_id", model.unk_id < 0 ? TokenizerJson(nullptr) : TokenizerJson(model.unk_id)},
          {"byte_fallback", model.byte_fallback}};
}

TokenizerJson decoder_of(bool bytes, bool strip) {
  TokenizerJson parts = TokenizerJson::array({replace("▁", " ")});
  if (bytes) {
    parts.push_back({{"type", "ByteFallback"}});
    parts.push_back({{"type", "Fuse"}});
  }
  if (strip) parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(parts)}};
}

TokenizerJson llama_document(const SentencePieceModel& model, const std::string& file, const SpecialNames& names) {
  const char* scheme = !names.add_prefix_space ? "never" : names.legacy ? "always" : "first";
  return {
      {"model", bpe_model(model, file, true)},
      {"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", false}}},
      {"decoder", decoder_of(true, names.add_prefix_space)}};
}

TokenizerJson general_document(const SentencePieceModel& model, const std::string& file) {
  TokenizerJson normalizers = TokenizerJson::array();
  if (!model.character_map.empty()) {
    normalizers.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(model.character_map)}});
  }
  normalizers.push_back(replace(" ", "▁"));
  TokenizerJson made = model.unigram ? unigram_model(model) : bpe_model(model, file, model.byte_fallback);
  if (!model.unigram) made["unk_token"] = model.unk_piece;
  return {{"model", std::move(made)},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}}},
          {"decoder", decoder_of(model.byte_fallback, false)}};
}

}  // namespace

SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& file) {
  SentencePieceModel model;
  ProtoReader reader(bytes, file, "");
  while (reader.next()) {
    if (reader.number == 1) model.pieces.push_back(read_piece(reader.bytes(), file, model.pieces.size()));
    if (reader.number == 2) read_trainer(reader.bytes(), file, model);
    if (reader.number == 3) {
      ProtoReader normalizer(reader.bytes(), file, "normalizer_spec");
      while (normalizer.next()) {
        if (normalizer.number == 2) model.character_map = normalizer.bytes();
      }
    }
  }
  if (model.pieces.empty()) reader.fail("no pieces");
  return model;
}

TokenizerJson sentencepiece_document(const SentencePieceModel& model, const std::string& file, SpecialNames& names) {
  const std::string& kind = names.tokenizer_class;
  const bool general = kind.empty() || kind == "TokenizersBackend" || kind == "PreTrainedTokenizer";
  if (!general && kind != "LlamaTokenizer") {
    throw base::Error(base::Code::kUnimplemented,
                      "a SentencePiece model for tokenizer class \"" + kind +
                          "\" is not implemented; save the tokenizer with transformers, which writes tokenizer.json",
                      {.file = file, .field = "tokenizer_class"});
  }
  TokenizerJson document = general ? general_document(model, file) : llama_document(model, file, names);
  if (!names.has_extra) {
    for (const auto& piece : model.pieces) {
      const bool control = piece.type == SentencePieceModel::Type::kControl;
      if (control || piece.type == SentencePieceModel::Type::kUserDefined) {
        names.extra.push_back({.content = piece.text, .special = control});
      }
    }
  }
  if (!general || model.bos_id >= 0) names.set_default("bos_token", general ? model.bos_piece : "<s>");
  if (!general || model.eos_id >= 0) names.set_default("eos_token", general ? model.eos_piece : "</s>");
  if (!general || model.unk_id >= 0) names.set_default("unk_token", general ? model.unk_piece : "<unk>");
  return document;
}

}  // namespace masbak::models
