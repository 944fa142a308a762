#include "models/tokenizer/piece_split.h"

namespace masbak::models {
namespace {

// Joins parts as the behaviour asks; the rules are those of `NormalizedString::split` in tokenizers.
void join_parts(std::vector<Part>& parts, Behaviour behaviour) {
  std::vector<Part> joined;
  bool previous = false;
  if (behaviour == Behaviour::kMergedWithNext) {
    for (size_t i = parts.size(); i-- > 0;) {
      if (parts[i].match && !previous && !joined.empty()) {
        joined.back().begin = parts[i].begin;
      } else {
        joined.push_back(parts[i]);
      }
      previous = parts[i].match;
    }
    parts.assign(joined.rbegin(), joined.rend());
    return;
  }
  for (const Part& part : parts) {
    bool join = behaviour == Behaviour::kContiguous ? part.match == previous : part.match && !previous;
    if (join && !joined.empty()) {
      joined.back().end = part.end;
    } else {
      joined.push_back(part);
    }
    previous = part.match;
  }
  parts = std::move(joined);
}

}  // namespace

Behaviour read_behaviour(const Config& config, const std::string& fallback) {
  std::string name = fallback.empty() ? config.string("behavior") : config.string("behavior", fallback);
  if (name == "Removed") return Behaviour::kRemoved;
  if (name == "Isolated") return Behaviour::kIsolated;
  if (name == "MergedWithPrevious") return Behaviour::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behaviour::kMergedWithNext;
  if (name == "Contiguous") return Behaviour::kContiguous;
  config.fail(
      "expected a split behaviour (Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous), found \"" +
      name + "\"");
}

void split(Pieces& pieces, const FindParts& find, Behaviour behaviour, bool invert) {
  std::vector<Pieces::Range> ranges;
  ranges.reserve(pieces.ranges.size() + pieces.text.size() / 4);
  std::vector<Part> parts;
  for (const Pieces::Range& range : pieces.ranges) {
    parts.clear();
    find(pieces.view(range), parts);
    if (invert) {
      for (Part& part : parts) part.match = !part.match;
    }
    if (behaviour != Behaviour::kIsolated && behaviour != Behaviour::kRemoved) join_parts(parts, behaviour);
    for (const Part& part : parts) {
      if (part.begin == part.end || (part.match && behaviour == Behaviour::kRemoved)) continue;
      ranges.push_back({range.begin + part.begin, range.begin + part.end, range.at_start && part.begin == 0});
    }
  }
  pieces.ranges = std::move(ranges);
}

void rewrite_pieces(Pieces& pieces, const std::function<void(std::string_view, bool at_start, std::string&)>& rewrite) {
  std::string text;
  text.reserve(pieces.text.size() * 2);
  for (Pieces::Range& range : pieces.ranges) {
    size_t begin = text.size();
    rewrite(pieces.view(range), range.at_start, text);
    range = {begin, text.size(), range.at_start};
  }
  pieces.text = std::move(text);
}

void find_regex(const Regex& regex, std::string_view piece, std::vector<Part>& parts) {
  std::string buffer;
  piece = regex.readable(piece, buffer);
  size_t from = 0, last = 0;
  while (from <= piece.size()) {
    auto match = regex.find(piece, from);
    if (!match) break;
    auto [begin, end] = *match;
    if (begin == end) {  // an empty match cuts nothing: go on behind the next character
      if (begin > last) parts.push_back({last, begin, false});
      last = begin;
      if (begin >= piece.size()) break;
      from = begin;
      next_code_point(piece, from);
      continue;
    }
    if (begin > last) parts.push_back({last, begin, false});
    parts.push_back({begin, end, true});
    from = last = end;
  }
  if (last < piece.size()) parts.push_back({last, piece.size(), false});
}

void find_literal(const std::string& literal, std::string_view piece, std::vector<Part>& parts) {
  size_t last = 0;
  while (!literal.empty()) {
    size_t begin = piece.find(literal, last);
    if (begin == std::string_view::npos) break;
    if (begin > last) parts.push_back({last, begin, false});
    last = begin + literal.size();
    parts.push_back({begin, last, true});
  }
  if (last < piece.size()) parts.push_back({last, piece.size(), false});
}

}  // namespace masbak::models
