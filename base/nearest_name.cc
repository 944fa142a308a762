#include <algorithm>
#include <numeric>

#include "base/document.h"

namespace masbak::base {
namespace {

// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
// Case and the choice between '-' and '_' count nothing.
size_t edit_distance(std::string_view a, std::string_view b) {
  const auto fold = [](char c) {
    if (c == '-') return '_';
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  std::vector<size_t> before(b.size() + 1), previous(b.size() + 1), row(b.size() + 1);
  std::iota(previous.begin(), previous.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = fold(a[i - 1]) == fold(b[j - 1]);
      row[j] = std::min({previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1])) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, previous);
    std::swap(previous, row);
  }
  return previous[b.size()];
}

}  // namespace

std::optional<std::string> nearest_name(std::string_view word, const std::vector<std::string>& known) {
  // A third of the letters wrong is no longer a misspelling; a long word bounds the cost.
  if (word.empty() || word.size() > 200) return std::nullopt;
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& name : known) {
    if (name.size() > word.size() + best_distance || word.size() > name.size() + best_distance) continue;
    const size_t distance = edit_distance(word, name);
    // In a word of one or two letters, one wrong letter says nothing.
    if (distance >= std::min(word.size(), name.size())) continue;
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

}  // namespace masbak::base
