// Normalizers of tokenizer.json: text to text, before any splitting.
#pragma once

#include <memory>
#include <string>

#include "models/tokenizer/config.h"

namespace masbak::models {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // `text` is valid UTF-8, and so is the result.
  virtual std::string apply(std::string text) const = 0;
};

// UNIMPLEMENTED, by name, for a normalizer that there is not here.
std::unique_ptr<Normalizer> make_normalizer(const Config& config);

}  // namespace masbak::models
