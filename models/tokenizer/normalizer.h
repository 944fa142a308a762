// Normalizers of tokenizer.json: text to text, before any splitting.
#pragma once

#include <memory>
#include <string>

#include "models/tokenizer/config.h"

namespace masbak::models {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // `text` is valid UTF-8, and so is the result. `at_start` becomes false if characters were taken off the
  // front: what is left then no longer begins where the user's text does (Metaspace's "first" asks).
  virtual std::string apply(std::string text, bool& at_start) const = 0;
  std::string apply(std::string text) const {
    bool at_start = true;
    return apply(std::move(text), at_start);
  }
};

// UNIMPLEMENTED, by name, for a normalizer that there is not here.
std::unique_ptr<Normalizer> make_normalizer(const Config& config);

}  // namespace masbak::models
