// Cutting the pieces of a text: what a pattern matches in a piece, and what becomes of the matches.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/pre_tokenizer.h"
#include "models/tokenizer/regex.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {

enum class Behaviour { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// The field "behavior"; required if there is no fallback.
Behaviour read_behaviour(const Config& config, const std::string& fallback = "");

// A part of one piece: what a pattern matched, or what lies between two matches. Parts cover their piece.
struct Part {
  size_t begin, end;
  bool match;
};
using FindParts = std::function<void(std::string_view piece, std::vector<Part>& parts)>;

// Cuts each piece into the parts that `find` appends, as the behaviour asks; `invert` exchanges matches and the rest.
void split(Pieces& pieces, const FindParts& find, Behaviour behaviour, bool invert = false);

// Replaces each piece by what `rewrite` appends for it.
void rewrite_pieces(Pieces& pieces, const std::function<void(std::string_view, bool at_start, std::string&)>& rewrite);

void find_regex(const Regex& regex, std::string_view piece, std::vector<Part>& parts);
void find_literal(const std::string& literal, std::string_view piece, std::vector<Part>& parts);

// Each character for which is_match holds.
template <typename Predicate>
void find_characters(Predicate is_match, std::string_view piece, std::vector<Part>& parts) {
  size_t last = 0;
  for (size_t at = 0; at < piece.size();) {
    size_t begin = at;
    if (!is_match(next_code_point(piece, at))) continue;
    if (begin > last) parts.push_back({last, begin, false});
    parts.push_back({begin, at, true});
    last = at;
  }
  if (last < piece.size()) parts.push_back({last, piece.size(), false});
}

}  // namespace masbak::models
