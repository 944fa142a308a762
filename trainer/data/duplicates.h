// Rows that say what an earlier row of the file says, exactly or nearly.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/data/dataset.h"
#include "trainer/data/scratch.h"

namespace masbak::trainer {

// What identifies a row's content: the beginning of the SHA-256 of its canonical form.
struct ContentKey {
  uint64_t high = 0;
  uint32_t low = 0;
};
ContentKey content_key(const Conversation& row);

// MinHash (Broder: On the resemblance and containment of documents, 1997) of the row's sequences of three words, of
// all its messages; words are what white space separates, without regard to ASCII case. The share of equal numbers
// estimates the Jaccard similarity of two rows with a standard error of at most 0.045.
using Signature = std::array<uint32_t, 128>;
Signature signature_of(const Conversation& row);

struct Twin {
  int line = 0;  // of the earlier row
  bool exact = true;
  double similarity = 1;
};

// Remembers the rows of a file in files of its own, not in memory. Near twins are sought among rows that share one of
// 32 bands of 4 numbers (locality-sensitive hashing), and only among rows that were kept: 99.9 % of the pairs of
// similarity 0.7 share one.
class Duplicates {
 public:
  Duplicates(Deduplicate deduplicate, double threshold);
  // The earlier twin of a row, if there is one; else the row is remembered. `signature` only matters for near.
  std::optional<Twin> add(ContentKey key, const Signature& signature, int line);

 private:
  std::optional<Twin> add_near(const Signature& signature, int line);

  const Deduplicate deduplicate_;
  const double threshold_;
  ScratchTable exact_;
  struct Near {
    ScratchTable bands;
    ScratchFile rows{1 << 20};  // a line and a signature each
    uint32_t count = 0;
  };
  std::optional<Near> near_;
};

}  // namespace masbak::trainer
