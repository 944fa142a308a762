#include "trainer/data/sample.h"

#include <cstdio>
#include <span>

#include "base/text.h"

namespace masbak::trainer {
namespace {

using base::Json;

Json pieces_of(std::span<const int32_t> ids, std::span<const int32_t> labels, const models::Tokenizer& tokenizer) {
  Json pieces = Json::array();
  for (size_t begin = 0; begin < ids.size();) {
    const bool learnt = labels[begin] != kIgnoredLabel;
    size_t end = begin;
    while (end < ids.size() && (labels[end] != kIgnoredLabel) == learnt) ++end;
    const std::vector<int32_t> piece(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                     ids.begin() + static_cast<std::ptrdiff_t>(end));
    pieces.push_back({{"text", tokenizer.decode(piece)}, {"learnt", learnt}});
    begin = end;
  }
  return pieces;
}

std::string visible(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= 0x20 && byte != 0x7f) || c == '\n' || c == '\t') {
      result += c;
    } else {
      char written[8];
      std::snprintf(written, sizeof written, "\\x%02x", byte);
      result += written;
    }
  }
  return result;
}

std::string written(const Json& pieces, bool colours, size_t most_bytes) {
  std::string text;
  for (const Json& piece : pieces) {
    if (most_bytes == 0) break;
    const std::string whole = visible(piece["text"]);
    const std::string shown = base::shortened(whole, most_bytes);
    most_bytes -= std::min(most_bytes, whole.size());
    if (!piece["learnt"].get<bool>()) {
      text += shown;
    } else {
      text += colours ? "\x1b[32m" + shown + "\x1b[0m" : "⟦" + shown + "⟧";
    }
  }
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

}  // namespace

Json sample_json(const TokenView& example, const models::Tokenizer& tokenizer) {
  Json sample{{"line", example.line},
              {"tokens", example.tokens()},
              {"pieces", pieces_of(example.ids, example.labels, tokenizer)}};
  if (!example.rejected_ids.empty()) {
    sample["rejected"] = pieces_of(example.rejected_ids, example.rejected_labels, tokenizer);
  }
  return sample;
}

std::string sample_text(const Json& sample, bool colours, size_t most_bytes) {
  std::string text = written(sample["pieces"], colours, most_bytes);
  if (sample.contains("rejected")) text += "rejected:\n" + written(sample["rejected"], colours, most_bytes);
  return text;
}

}  // namespace masbak::trainer
