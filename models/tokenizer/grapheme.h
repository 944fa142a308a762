// Extended grapheme clusters (Unicode annex 29), as far as SentencePiece's character maps ask for them.
#pragma once

#include <cstddef>
#include <string_view>

namespace masbak::models {

// End of the cluster that starts at `at`, which must be a boundary of clusters in valid UTF-8. Clusters of Indic
// conjuncts (rule GB9c) end early; they are longer than any that a character map replaces as a whole.
size_t grapheme_end(std::string_view text, size_t at);

}  // namespace masbak::models
