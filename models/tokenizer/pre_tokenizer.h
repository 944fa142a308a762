// Pre-tokenizers of tokenizer.json: text to the pieces that the model then takes one by one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/config.h"

namespace masbak::models {

// Pieces of one text, as ranges of `text`. A pre-tokenizer either cuts the ranges or rewrites the text.
struct Pieces {
  struct Range {
    size_t begin, end;
    bool at_start;  // whether the piece begins where the user's whole text begins (Metaspace's "first")
  };
  std::string text;
  std::vector<Range> ranges;
  // Set by a closing ByteLevel: the model takes the bytes of each piece themselves, and so the text is
  // not rewritten to the 256 stand-in characters.
  bool bytes = false;

  std::string_view view(const Range& range) const {
    return std::string_view(text).substr(range.begin, range.end - range.begin);
  }
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces) const = 0;
};

// `last` says that nothing but the model follows. UNIMPLEMENTED, by name, for what there is not here.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Config& config, bool last = true);

}  // namespace masbak::models
