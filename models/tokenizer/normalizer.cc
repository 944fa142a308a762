#include "models/tokenizer/normalizer.h"

#include <optional>
#include <vector>

#include "models/tokenizer/regex.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

class FormNormalizer : public Normalizer {
 public:
  explicit FormNormalizer(NormalForm form) : form_(form) {}
  std::string apply(std::string text, bool&) const override { return normalize(text, form_); }

 private:
  NormalForm form_;
};

class LowercaseNormalizer : public Normalizer {
 public:
  std::string apply(std::string text, bool&) const override { return to_lower(text); }
};

class ReplaceNormalizer : public Normalizer {
 public:
  explicit ReplaceNormalizer(const Config& config) : content_(config.string("content")) {
    ConfigPattern pattern = read_pattern(config);
    if (pattern.is_regex) {
      regex_.emplace(pattern.text, config.where().field);
    } else {
      literal_ = pattern.text;
    }
  }

  std::string apply(std::string text, bool& at_start) const override {
    std::string out;
    size_t at = 0;
    while (at <= text.size()) {
      size_t begin = std::string::npos, end = 0;
      if (regex_) {
        if (auto match = regex_->find(text, at)) std::tie(begin, end) = *match;
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
    std::string out;
    for (size_t at = 0; at < text.size();) {
      size_t begin = at;
      bool mark = is_mark(next_code_point(text, at));
      if (!mark) out.append(text, begin, at - begin);
      if (mark && begin == 0) at_start = false;
    }
    return out;
  }
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
  if (type == "StripAccents") return std::make_unique<StripAccentsNormalizer>();
  if (type == "Sequence") return std::make_unique<SequenceNormalizer>(config);
  config.unimplemented("normalizer", type);
}

}  // namespace masbak::models
