#include "models/tokenizer/decoder.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

std::string join(const std::vector<std::string>& tokens) {
  std::string all;
  for (const std::string& token : tokens) all += token;
  return all;
}

class ByteLevelDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) {
      auto known = from_byte_alphabet(token);
      bytes += known ? *known : token;
    }
    tokens.assign(1, replace_invalid_utf8(bytes));
  }
};

// Runs of tokens <0x00> … <0xFF> become the characters that they spell, or one U+FFFD a byte.
class ByteFallbackDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string run;
    auto close = [&] {
      if (run.empty()) return;
      if (is_valid_utf8(run)) {
        out.push_back(run);
      } else {
        out.insert(out.end(), run.size(), "\uFFFD");
      }
      run.clear();
    };
    for (std::string& token : tokens) {
      int byte = byte_of(token);
      if (byte >= 0) {
        run += static_cast<char>(byte);
      } else {
        close();
        out.push_back(std::move(token));
      }
    }
    close();
    tokens = std::move(out);
  }

 private:
  static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  }
  static int byte_of(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    int high = digit(token[3]), low = digit(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }
};

class MetaspaceDecoder : public Decoder {
 public:
  explicit MetaspaceDecoder(const Config& config) : replacement_(config.string("replacement")) {
    std::string scheme = config.string("prepend_scheme", "always");
    prepends_ = scheme != "never" && config.boolean("add_prefix_space", true);
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string out;
      const std::string& token = tokens[i];
      for (size_t at = 0; at < token.size();) {
        if (token.compare(at, replacement_.size(), replacement_) == 0) {
          if (i > 0 || !prepends_) out += ' ';
          at += replacement_.size();
        } else {
          out += token[at++];
        }
      }
      tokens[i] = std::move(out);
    }
  }

 private:
  std::string replacement_;
  bool prepends_;
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty() || text.find(from) == std::string::npos) return;
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size()) {
    out.append(text, at, found - at).append(to);
  }
  text = out.append(text, at, text.size() - at);
}

class WordPieceDecoder : public Decoder {
 public:
  explicit WordPieceDecoder(const Config& config)
      : prefix_(config.string("prefix")), cleanup_(config.boolean("cleanup", true)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0 && token.starts_with(prefix_)) {
        token.erase(0, prefix_.size());
      } else if (i > 0) {
        token.insert(0, " ");
      }
      if (cleanup_) clean_up_word(token);
    }
  }

 private:
  std::string prefix_;
  bool cleanup_;
};

// The end of each word is marked, and becomes a space but for the last.
class BpeDecoder : public Decoder {
 public:
  explicit BpeDecoder(const Config& config) : suffix_(config.string("suffix")) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
    }
  }

 private:
  std::string suffix_;
};

// Connectionist temporal classification: repeats are one, and the padding is nothing.
class CtcDecoder : public Decoder {
 public:
  explicit CtcDecoder(const Config& config)
      : padding_(config.string("pad_token")),
        delimiter_(config.string("word_delimiter_token")),
        cleanup_(config.boolean("cleanup", true)) {}
  void apply(std::vector<std::string>& tokens) const override {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::string& token : tokens) {
      replace_all(token, padding_, "");
      if (!cleanup_) continue;
      clean_up_word(token);
      replace_all(token, delimiter_, " ");
    }
    std::erase(tokens, "");
  }

 private:
  std::string padding_, delimiter_;
  bool cleanup_;
};

class FuseDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override { tokens.assign(1, join(tokens)); }
};

class ReplaceDecoder : public Decoder {
 public:
  explicit ReplaceDecoder(const Config& config) : replace_(make_normalizer(config)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) token = replace_->apply(std::move(token));
  }

 private:
  std::unique_ptr<Normalizer> replace_;
};

// Takes up to `start` and `stop` times one character off the ends of each token.
class StripDecoder : public Decoder {
 public:
  explicit StripDecoder(const Config& config)
      : content_(config.string("content")), start_(config.integer("start")), stop_(config.integer("stop")) {
    if (content_.empty() || start_ < 0 || stop_ < 0) {
      config.fail("expected one character as content, and start and stop of 0 or more");
    }
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      for (int64_t i = 0; i < start_ && token.starts_with(content_); ++i) token.erase(0, content_.size());
      for (int64_t i = 0; i < stop_ && token.ends_with(content_); ++i) token.erase(token.size() - content_.size());
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class SequenceDecoder : public Decoder {
 public:
  explicit SequenceDecoder(const Config& config) {
    for (const Config& part : config.list("decoders")) parts_.push_back(make_decoder(part));
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& part : parts_) part->apply(tokens);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

}  // namespace

void clean_up_word(std::string& text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

void clean_up_text(std::string& text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

std::unique_ptr<Decoder> make_decoder(const Config& config) {
  std::string type = config.type();
  if (type == "ByteLevel") return std::make_unique<ByteLevelDecoder>();
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "WordPiece") return std::make_unique<WordPieceDecoder>(config);
  if (type == "BPEDecoder") return std::make_unique<BpeDecoder>(config);
  if (type == "CTC") return std::make_unique<CtcDecoder>(config);
  if (type == "Metaspace") return std::make_unique<MetaspaceDecoder>(config);
  if (type == "Fuse") return std::make_unique<FuseDecoder>();
  if (type == "Replace") return std::make_unique<ReplaceDecoder>(config);
  if (type == "Strip") return std::make_unique<StripDecoder>(config);
  if (type == "Sequence") return std::make_unique<SequenceDecoder>(config);
  config.unimplemented("decoder", type);
}

}  // namespace masbak::models
