// The merging loop of byte-pair encoding.
#pragma once

#include <cstdint>
#include <vector>

#include "models/tokenizer/bpe.h"

namespace masbak::models {

// Merges neighbouring symbols, always the pair of the lowest rank and of these the leftmost, until no
// pair has a rank. Short words by scanning, long ones with a heap over a linked list: O(n log n).
void merge_symbols(const MergeTable& merges, std::vector<int32_t>& symbols);

}  // namespace masbak::models
