#include "models/tokenizer/pre_tokenizer.h"

#include <optional>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/piece_split.h"
#include "models/tokenizer/regex.h"
#include "models/tokenizer/scripts.h"
#include "models/tokenizer/unicode.h"
#include "models/tokenizer/unicode_properties.h"

namespace masbak::models {
namespace {

class SplitPreTokenizer : public PreTokenizer {
 public:
  explicit SplitPreTokenizer(const Config& config)
      : behaviour_(read_behaviour(config)), invert_(config.boolean("invert", false)) {
    ConfigPattern pattern = read_pattern(config);
    if (pattern.is_regex || pattern.text.empty()) {  // an empty text matches between all characters
      regex_.emplace(pattern.text, config.child("pattern").where());
    } else {
      literal_ = pattern.text;
    }
  }
  void apply(Pieces& pieces) const override {
    auto find = [this](std::string_view piece, std::vector<Part>& parts) {
      if (regex_) {
        find_regex(*regex_, piece, parts);
      } else {
        find_literal(literal_, piece, parts);
      }
    };
    split(pieces, find, behaviour_, invert_);
  }

 private:
  Behaviour behaviour_;
  bool invert_;
  std::optional<Regex> regex_;
  std::string literal_;
};

class ByteLevelPreTokenizer : public PreTokenizer {
 public:
  ByteLevelPreTokenizer(const Config& config, bool last)
      : add_prefix_space_(config.boolean("add_prefix_space", true)),
        use_regex_(config.boolean("use_regex", true)),
        last_(last) {}
  void apply(Pieces& pieces) const override {
    if (add_prefix_space_) {
      rewrite_pieces(pieces, [](std::string_view piece, bool, std::string& out) {
        if (piece.empty() || piece[0] != ' ') out += ' ';
        out += piece;
      });
    }
    if (use_regex_) {
      // GPT-2's own pattern (openai/gpt-2, src/encoder.py).
      static const Regex kWords(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)");
      auto find = [](std::string_view piece, std::vector<Part>& parts) { find_regex(kWords, piece, parts); };
      split(pieces, find, Behaviour::kIsolated);
    }
    if (last_) {
      pieces.bytes = true;
    } else {
      rewrite_pieces(pieces, [](std::string_view piece, bool, std::string& out) { out += to_byte_alphabet(piece); });
    }
  }

 private:
  bool add_prefix_space_, use_regex_, last_;
};

class DigitsPreTokenizer : public PreTokenizer {
 public:
  explicit DigitsPreTokenizer(bool individual) : individual_(individual) {}
  void apply(Pieces& pieces) const override {
    auto find = [](std::string_view piece, std::vector<Part>& parts) {
      find_characters([](char32_t point) { return is_in(CharacterSet::kNumeric, point); }, piece, parts);
    };
    split(pieces, find, individual_ ? Behaviour::kIsolated : Behaviour::kContiguous);
  }

 private:
  bool individual_;
};

void find_punctuation(std::string_view piece, std::vector<Part>& parts) {
  find_characters([](char32_t point) { return is_in(CharacterSet::kPunctuation, point); }, piece, parts);
}

void find_white_space(std::string_view piece, std::vector<Part>& parts) {
  find_characters(is_white_space, piece, parts);
}

class PunctuationPreTokenizer : public PreTokenizer {
 public:
  explicit PunctuationPreTokenizer(Behaviour behaviour) : behaviour_(behaviour) {}
  void apply(Pieces& pieces) const override { split(pieces, find_punctuation, behaviour_); }

 private:
  Behaviour behaviour_;
};

class WhitespaceSplitPreTokenizer : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override { split(pieces, find_white_space, Behaviour::kRemoved); }
};

// Runs of word characters and runs of other visible characters (\w+|[^\w\s]+).
class WhitespacePreTokenizer : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    auto find = [](std::string_view piece, std::vector<Part>& parts) {
      int kind = -1;
      for (size_t at = 0; at < piece.size();) {
        size_t begin = at;
        char32_t point = next_code_point(piece, at);
        int now = is_in(CharacterSet::kWord, point) ? 1 : is_white_space(point) ? 0 : 2;
        if (now == kind) {
          parts.back().end = at;
        } else {
          parts.push_back({begin, at, now == 0});
        }
        kind = now;
      }
    };
    split(pieces, find, Behaviour::kRemoved);
  }
};

class MetaspacePreTokenizer : public PreTokenizer {
 public:
  explicit MetaspacePreTokenizer(const Config& config)
      : replacement_(config.string("replacement")), split_(config.boolean("split", true)) {
    std::string scheme = config.string("prepend_scheme", "always");
    if (!config.boolean("add_prefix_space", true)) scheme = "never";
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      config.fail("expected prepend_scheme always, first or never, found \"" + scheme + "\"");
    }
    always_ = scheme == "always";
    first_ = scheme == "first";
  }
  void apply(Pieces& pieces) const override {
    rewrite_pieces(pieces, [this](std::string_view piece, bool at_start, std::string& out) {
      bool marked = piece.substr(0, replacement_.size()) == replacement_ || (!piece.empty() && piece[0] == ' ');
      if (!marked && (always_ || (first_ && at_start))) out += replacement_;
      for (char c : piece) {
        if (c == ' ') {
          out += replacement_;
        } else {
          out += c;
        }
      }
    });
    if (!split_) return;
    auto find = [this](std::string_view piece, std::vector<Part>& parts) { find_literal(replacement_, piece, parts); };
    split(pieces, find, Behaviour::kMergedWithNext);
  }

 private:
  std::string replacement_;
  bool split_;
  bool always_ = false, first_ = false;
};

class BertPreTokenizer : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    split(pieces, find_white_space, Behaviour::kRemoved);
    split(pieces, find_punctuation, Behaviour::kIsolated);
  }
};

class CharDelimiterSplit : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(const Config& config) : delimiter_(config.string("delimiter")) {
    if (count_code_points(delimiter_) != 1) config.fail("expected one character as delimiter, found another text");
  }
  void apply(Pieces& pieces) const override {
    auto find = [this](std::string_view piece, std::vector<Part>& parts) { find_literal(delimiter_, piece, parts); };
    split(pieces, find, Behaviour::kRemoved);
  }

 private:
  std::string delimiter_;
};

class FixedLengthPreTokenizer : public PreTokenizer {
 public:
  explicit FixedLengthPreTokenizer(const Config& config)
      : length_(config.has("length") ? config.integer("length") : 5) {
    if (length_ < 1) config.fail("expected a length of 1 or more, found " + std::to_string(length_));
  }
  void apply(Pieces& pieces) const override {
    auto find = [this](std::string_view piece, std::vector<Part>& parts) {
      for (size_t at = 0; at < piece.size();) {
        const size_t begin = at;
        for (int64_t i = 0; i < length_ && at < piece.size(); ++i) next_code_point(piece, at);
        parts.push_back({begin, at, true});
      }
    };
    split(pieces, find, Behaviour::kIsolated);
  }

 private:
  int64_t length_;
};

// Cuts where the script changes. Kana count as Han, and a space belongs to any script.
class UnicodeScriptsPreTokenizer : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    auto find = [](std::string_view piece, std::vector<Part>& parts) {
      int last = kNoScript;
      size_t begin = 0;
      bool cut = false;
      for (size_t at = 0; at < piece.size();) {
        const size_t here = at;
        const int script = script_of(next_code_point(piece, at));
        if (script == kAnyScript) continue;
        if (script != last) {
          if (cut) parts.push_back({begin, here, true});
          cut = true;
          begin = here;
        }
        last = script;
      }
      if (cut) parts.push_back({begin, piece.size(), true});
    };
    split(pieces, find, Behaviour::kIsolated);
  }
};

class SequencePreTokenizer : public PreTokenizer {
 public:
  SequencePreTokenizer(const Config& config, bool last) {
    std::vector<Config> parts = config.list("pretokenizers");
    for (size_t i = 0; i < parts.size(); ++i)
      parts_.push_back(make_pre_tokenizer(parts[i], last && i + 1 == parts.size()));
  }
  void apply(Pieces& pieces) const override {
    for (const auto& part : parts_) part->apply(pieces);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Config& config, bool last) {
  std::string type = config.type();
  if (type == "ByteLevel") return std::make_unique<ByteLevelPreTokenizer>(config, last);
  if (type == "Split") return std::make_unique<SplitPreTokenizer>(config);
  if (type == "Digits") return std::make_unique<DigitsPreTokenizer>(config.boolean("individual_digits", false));
  if (type == "Metaspace") return std::make_unique<MetaspacePreTokenizer>(config);
  if (type == "Punctuation") return std::make_unique<PunctuationPreTokenizer>(read_behaviour(config, "Isolated"));
  if (type == "Whitespace") return std::make_unique<WhitespacePreTokenizer>();
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplitPreTokenizer>();
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "CharDelimiterSplit") return std::make_unique<CharDelimiterSplit>(config);
  if (type == "FixedLength") return std::make_unique<FixedLengthPreTokenizer>(config);
  if (type == "UnicodeScripts") return std::make_unique<UnicodeScriptsPreTokenizer>();
  if (type == "Sequence") return std::make_unique<SequencePreTokenizer>(config, last);
  config.unimplemented("pre-tokenizer", type);
}

}  // namespace masbak::models
