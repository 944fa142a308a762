// Decoders of tokenizer.json: tokens back to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/tokenizer/config.h"

namespace masbak::models {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // The text is what is left, joined.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

// UNIMPLEMENTED, by name, for a decoder that there is not here.
std::unique_ptr<Decoder> make_decoder(const Config& config);

// Takes the spaces away that stand before punctuation and short forms: the one rule of the WordPiece decoder, and
// that of transformers' clean_up_tokenization_spaces.
void clean_up_word(std::string& text);
void clean_up_text(std::string& text);

}  // namespace masbak::models
