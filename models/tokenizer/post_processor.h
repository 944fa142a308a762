// Post-processors of tokenizer.json: the special tokens that a whole text gets around it.
#pragma once

#include <cstdint>
#include <vector>

#include "models/tokenizer/config.h"

namespace masbak::models {

class PostProcessor {
 public:
  // Leaves a text as it is.
  PostProcessor() : with_special_{kText}, plain_{kText} {}
  // UNIMPLEMENTED, by name, for what there is not here; a null config leaves a text as it is.
  explicit PostProcessor(const Config& config);

  std::vector<int32_t> apply(std::vector<int32_t> ids, bool add_special_tokens) const;

 private:
  static constexpr int32_t kText = -1;  // where the ids of the text stand
  // What becomes of a text is known beforehand, since only its ids are not.
  using Row = std::vector<int32_t>;
  std::vector<Row> run(const Config& config, std::vector<Row> parts, bool add_special_tokens) const;

  Row with_special_, plain_;
};

}  // namespace masbak::models
