#include "models/tokenizer/normalizer.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "models/tokenizer/base64.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/character_map.h"
#include "models/tokenizer/normal_form.h"
#include "models/tokenizer/regex.h"
#include "models/tokenizer/unicode.h"
#include "models/tokenizer/unicode_properties.h"

namespace masbak::models {
namespace {

class FormNormalizer : public Normalizer {
 public:
  explicit FormNormalizer(NormalForm form) : form_(form) {}
  std::string apply(std::string text, bool&) const override { return normalize(text, form_); }

 private:
  NormalForm form_;
};

std::string lower(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) append_reference_lower(out, next_code_point(text, at));
  return out;
}

// Takes characters out; what the text then begins with may no longer be the front of the user's text.
template <typename Unwanted>
std::string remove_characters(const std::string& text, bool& at_start, Unwanted&& unwanted) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!unwanted(next_code_point(text, at))) {
      out.append(text, begin, at - begin);
    } else if (begin == 0) {
      at_start = false;
    }
  }
  return out;
}

class LowercaseNormalizer : public Normalizer {
 public:
  std::string apply(std::string text, bool&) const override { return lower(text); }
};

class ReplaceNormalizer : public Normalizer {
 public:
  explicit ReplaceNormalizer(const Config& config) : content_(config.string("content")) {
    ConfigPattern pattern = read_pattern(config);
    if (pattern.is_regex || pattern.text.empty()) {  // an empty text matches between all characters
      regex_.emplace(pattern.text, config.child("pattern").where());
    } else {
      literal_ = pattern.text;
    }
  }

  std::string apply(std::string text, bool& at_start) const override {
    std::string out, buffer;
    const std::string_view readable = regex_ ? regex_->readable(text, buffer) : text;
    size_t at = 0;
    while (at <= text.size()) {
      size_t begin = std::string::npos, end = 0;
      if (regex_) {
        if (auto match = regex_->find(readable, at)) std::tie(begin, end) = *match;
      } else if (!literal_.empty()) {
        begin = text.find(literal_, at);
        end = begin + literal_.size();
      }
      if (begin == std::string::npos) break;
      if (begin == 0 && end > 0 && content_.empty()) at_start = false;
      out.append(text, at, begin - at).append(content_);
      at = end;
      if (begin == end) {  // an empty match: step over one character
        if (at >= text.size()) return out;
        next_code_point(text, end);
        out.append(text, at, end - at);
        at = end;
      }
    }
    if (at == 0) return text;
    if (at < text.size()) out.append(text, at);
    return out;
  }

 private:
  std::optional<Regex> regex_;
  std::string literal_;
  std::string content_;
};

class PrependNormalizer : public Normalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string apply(std::string text, bool&) const override { return text.empty() ? text : prefix_ + text; }

 private:
  std::string prefix_;
};

class StripNormalizer : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}
  std::string apply(std::string text, bool& at_start) const override {
    size_t begin = 0, end = text.size();
    for (size_t next = 0; left_ && begin < end; begin = next) {
      if (!is_white_space(next_code_point(text, next))) break;
    }
    while (right_ && end > begin) {
      size_t start = previous_boundary(text, end), at = start;
      if (!is_white_space(next_code_point(text, at))) break;
      end = start;
    }
    if (begin > 0) at_start = false;
    return text.substr(begin, end - begin);
  }

 private:
  bool left_, right_;
};

class StripAccentsNormalizer : public Normalizer {
 public:
  std::string apply(std::string text, bool& at_start) const override {
    return remove_characters(text, at_start, [](char32_t point) { return is_in(CharacterSet::kAccent, point); });
  }
};

// What BERT's own tokenizer does to a text before it cuts words (google-research/bert, tokenization.py).
class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const Config& config)
      : clean_(config.boolean("clean_text", true)),
        chinese_(config.boolean("handle_chinese_chars", true)),
        lowercase_(config.boolean("lowercase", true)),
        accents_(config.boolean("strip_accents", lowercase_)) {}

  std::string apply(std::string text, bool& at_start) const override {
    if (clean_) {
      text = remove_characters(text, at_start,
                               [](char32_t point) { return point == 0 || is_in(CharacterSet::kBertControl, point); });
    }
    if (clean_ || chinese_) text = space_out(text);
    if (accents_) {
      text = remove_characters(normalize(text, NormalForm::kNfd), at_start,
                               [](char32_t point) { return is_in(CharacterSet::kBertAccent, point); });
    }
    return lowercase_ ? lower(text) : text;
  }

 private:
  static bool is_chinese(char32_t point) {
    return (point >= 0x4E00 && point <= 0x9FFF) || (point >= 0x3400 && point <= 0x4DBF) ||
           (point >= 0x20000 && point <= 0x2A6DF) || (point >= 0x2A700 && point <= 0x2B81F) ||
           (point >= 0x2B920 && point <= 0x2CEAF) || (point >= 0xF900 && point <= 0xFAFF) ||
           (point >= 0x2F800 && point <= 0x2FA1F);
  }
  // White space becomes spaces, and Chinese characters get spaces around them.
  std::string space_out(const std::string& text) const {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      const char32_t point = next_code_point(text, at);
      if (clean_ && is_white_space(point)) {
        out += ' ';
      } else if (chinese_ && is_chinese(point)) {
        out.append(" ").append(text, begin, at - begin).append(" ");
      } else {
        out.append(text, begin, at - begin);
      }
    }
    return out;
  }

  bool clean_, chinese_, lowercase_, accents_;
};

// The cleaning of sentencepiece's nmt rules.
class NmtNormalizer : public Normalizer {
 public:
  std::string apply(std::string text, bool& at_start) const override {
    text = remove_characters(text, at_start, [](char32_t point) {
      return (point >= 1 && point <= 8) || point == 0xB || (point >= 0xE && point <= 0x1F) || point == 0x7F ||
             point == 0x8F || point == 0x9F;
    });
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const char32_t point = next_code_point(text, at);
      const bool space = point == 9 || point == 0xA || point == 0xC || point == 0xD || point == 0x1680 ||
                         (point >= 0x200B && point <= 0x200F) || point == 0x2028 || point == 0x2029 ||
                         point == 0x2581 || point == 0xFEFF || point == 0xFFFD;
      append_utf8(out, space ? U' ' : point);
    }
    return out;
  }
};

class ByteLevelNormalizer : public Normalizer {
 public:
  std::string apply(std::string text, bool&) const override { return to_byte_alphabet(text); }
};

class PrecompiledNormalizer : public Normalizer {
 public:
  explicit PrecompiledNormalizer(const Config& config) : map_(decode(config), config) {}
  std::string apply(std::string text, bool&) const override { return map_.apply(text); }

 private:
  static std::string decode(const Config& config) {
    auto bytes = decode_base64(config.string("precompiled_charsmap"));
    if (!bytes) config.fail("expected base64 in precompiled_charsmap, found another text");
    return *bytes;
  }
  CharacterMap map_;
};

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(const Config& config) {
    for (const Config& part : config.list("normalizers")) parts_.push_back(make_normalizer(part));
  }
  std::string apply(std::string text, bool& at_start) const override {
    for (const auto& part : parts_) text = part->apply(std::move(text), at_start);
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Config& config) {
  std::string type = config.type();
  if (type == "NFC") return std::make_unique<FormNormalizer>(NormalForm::kNfc);
  if (type == "NFD") return std::make_unique<FormNormalizer>(NormalForm::kNfd);
  if (type == "NFKC") return std::make_unique<FormNormalizer>(NormalForm::kNfkc);
  if (type == "NFKD") return std::make_unique<FormNormalizer>(NormalForm::kNfkd);
  if (type == "Lowercase") return std::make_unique<LowercaseNormalizer>();
  if (type == "Replace") return std::make_unique<ReplaceNormalizer>(config);
  if (type == "Prepend") return std::make_unique<PrependNormalizer>(config.string("prepend"));
  if (type == "Strip") {
    return std::make_unique<StripNormalizer>(config.boolean("strip_left", true), config.boolean("strip_right", true));
  }
  if (type == "BertNormalizer") return std::make_unique<BertNormalizer>(config);
  if (type == "Precompiled") return std::make_unique<PrecompiledNormalizer>(config);
  if (type == "Nmt") return std::make_unique<NmtNormalizer>();
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  if (type == "StripAccents") return std::make_unique<StripAccentsNormalizer>();
  if (type == "Sequence") return std::make_unique<SequenceNormalizer>(config);
  config.unimplemented("normalizer", type);
}

}  // namespace masbak::models
