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

}  // namespace masbak::models
