#include "models/tokenizer/pre_tokenizer.h"

#include <functional>
#include <optional>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/regex.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

enum class Behaviour { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

Behaviour read_behaviour(const Config& config, const std::string& fallback = "") {
  std::string name = fallback.empty() ? config.string("behavior") : config.string("behavior", fallback);
  if (name == "Removed") return Behaviour::kRemoved;
  if (name == "Isolated") return Behaviour::kIsolated;
  if (name == "MergedWithPrevious") return Behaviour::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behaviour::kMergedWithNext;
  if (name == "Contiguous") return Behaviour::kContiguous;
  config.fail(
      "expected a split behaviour (Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous), found \"" +
      name + "\"");
}

// A part of one piece: what a pattern matched, or what lies between two matches.
struct Part {
  size_t begin, end;
  bool match;
};
using FindParts = std::function<void(std::string_view piece, std::vector<Part>& parts)>;

// Joins parts as the behaviour asks; the rules are those of `NormalizedString::split` in tokenizers.
void join_parts(std::vector<Part>& parts, Behaviour behaviour) {
  std::vector<Part> joined;
  bool previous = false;
  if (behaviour == Behaviour::kMergedWithNext) {
    for (size_t i = parts.size(); i-- > 0;) {
      if (parts[i].match && !previous && !joined.empty()) {
        joined.back().begin = parts[i].begin;
      } else {
        joined.push_back(parts[i]);
      }
      previous = parts[i].match;
    }
    parts.assign(joined.rbegin(), joined.rend());
    return;
  }
  for (const Part& part : parts) {
    bool join = behaviour == Behaviour::kContiguous ? part.match == previous : part.match && !previous;
    if (join && !joined.empty()) {
      joined.back().end = part.end;
    } else {
      joined.push_back(part);
    }
    previous = part.match;
  }
  parts = std::move(joined);
}

void split(Pieces& pieces, const FindParts& find, Behaviour behaviour, bool invert = false) {
  std::vector<Pieces::Range> ranges;
  ranges.reserve(pieces.ranges.size() + pieces.text.size() / 4);
  std::vector<Part> parts;
  for (const Pieces::Range& range : pieces.ranges) {
    parts.clear();
    find(pieces.view(range), parts);
    if (invert) {
      for (Part& part : parts) part.match = !part.match;
    }
    if (behaviour != Behaviour::kIsolated && behaviour != Behaviour::kRemoved) join_parts(parts, behaviour);
    for (const Part& part : parts) {
      if (part.begin == part.end || (part.match && behaviour == Behaviour::kRemoved)) continue;
      ranges.push_back({range.begin + part.begin, range.begin + part.end, range.at_start && part.begin == 0});
    }
  }
  pieces.ranges = std::move(ranges);
}

// Replaces each piece by what `rewrite` makes of it.
void rewrite_pieces(Pieces& pieces, const std::function<void(std::string_view, bool at_start, std::string&)>& rewrite) {
  std::string text;
  text.reserve(pieces.text.size() * 2);
  for (Pieces::Range& range : pieces.ranges) {
    size_t begin = text.size();
    rewrite(pieces.view(range), range.at_start, text);
    range = {begin, text.size(), range.at_start};
  }
  pieces.text = std::move(text);
}

void find_regex(const Regex& regex, std::string_view piece, std::vector<Part>& parts) {
  size_t from = 0, last = 0;
  while (from <= piece.size()) {
    auto match = regex.find(piece, from);
    if (!match) break;
    auto [begin, end] = *match;
    if (begin == end) {  // an empty match cuts nothing: go on behind the next character
      if (begin > last) parts.push_back({last, begin, false});
      last = begin;
      if (begin >= piece.size()) break;
      from = begin;
      next_code_point(piece, from);
      continue;
    }
    if (begin > last) parts.push_back({last, begin, false});
    parts.push_back({begin, end, true});
    from = last = end;
  }
  if (last < piece.size()) parts.push_back({last, piece.size(), false});
}

void find_literal(const std::string& literal, std::string_view piece, std::vector<Part>& parts) {
  size_t last = 0;
  while (!literal.empty()) {
    size_t begin = piece.find(literal, last);
    if (begin == std::string_view::npos) break;
    if (begin > last) parts.push_back({last, begin, false});
    last = begin + literal.size();
    parts.push_back({begin, last, true});
  }
  if (last < piece.size()) parts.push_back({last, piece.size(), false});
}

template <typename Predicate>
void find_characters(Predicate is_match, std::string_view piece, std::vector<Part>& parts) {
  size_t last = 0;
  for (size_t at = 0; at < piece.size();) {
    size_t begin = at;
    if (!is_match(next_code_point(piece, at))) continue;
    if (begin > last) parts.push_back({last, begin, false});
    parts.push_back({begin, at, true});
    last = at;
  }
  if (last < piece.size()) parts.push_back({last, piece.size(), false});
}

class SplitPreTokenizer : public PreTokenizer {
 public:
  explicit SplitPreTokenizer(const Config& config)
      : behaviour_(read_behaviour(config)), invert_(config.boolean("invert", false)) {
    ConfigPattern pattern = read_pattern(config);
    if (pattern.is_regex) {
      regex_.emplace(pattern.text, config.where().field + ".pattern");
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
    auto find = [](std::string_view piece, std::vector<Part>& parts) { find_characters(is_number, piece, parts); };
    split(pieces, find, individual_ ? Behaviour::kIsolated : Behaviour::kContiguous);
  }

 private:
  bool individual_;
};

class PunctuationPreTokenizer : public PreTokenizer {
 public:
  explicit PunctuationPreTokenizer(Behaviour behaviour) : behaviour_(behaviour) {}
  void apply(Pieces& pieces) const override {
    auto find = [](std::string_view piece, std::vector<Part>& parts) { find_characters(is_punctuation, piece, parts); };
    split(pieces, find, behaviour_);
  }

 private:
  Behaviour behaviour_;
};

class WhitespaceSplitPreTokenizer : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    auto find = [](std::string_view piece, std::vector<Part>& parts) { find_characters(is_white_space, piece, parts); };
    split(pieces, find, Behaviour::kRemoved);
  }
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
        int now = is_word(point) ? 1 : is_white_space(point) ? 0 : 2;
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
  if (type == "Sequence") return std::make_unique<SequencePreTokenizer>(config, last);
  config.unimplemented("pre-tokenizer", type);
}

}  // namespace masbak::models
