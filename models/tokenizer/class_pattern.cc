#include "models/tokenizer/class_pattern.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

constexpr size_t kMostClasses = 32, kMostNodes = 256;
constexpr int kDeepestGroup = 8;
constexpr uint32_t kUnbounded = ~0u;
// Steps that one search may take: plenty for a pattern that cuts words, which takes a few for each character.
constexpr uint64_t kFewSteps = 200'000, kStepsOfByte = 64;

}  // namespace

// Reads an expression into the nodes of a pattern; each function returns false if it is beyond them.
class ClassPatternParser {
 public:
  ClassPatternParser(std::string_view text, ClassPattern& pattern) : text_(text), pattern_(pattern) {}

  bool parse() {
    std::vector<int> firsts;
    if (!alternatives(firsts, false, 0) || at_ != text_.size()) return false;
    for (int first : firsts) {
      if (first == ClassPattern::kAccept || may_be_empty(first)) return false;
      pattern_.alternatives_.emplace_back(first, pattern_.first_bits(first));
    }
    return true;
  }

 private:
  using Node = ClassPattern::Node;
  using Kind = ClassPattern::Kind;

  // Alternatives up to a closing bracket or the end. Their last nodes lead nowhere yet.
  bool alternatives(std::vector<int>& firsts, bool caseless, int depth) {
    if (depth > kDeepestGroup) return false;
    do {
      int first = ClassPattern::kAccept, last = ClassPattern::kAccept;
      while (at_ < text_.size() && text_[at_] != '|' && text_[at_] != ')') {
        int node = 0;
        if (!atom(node, caseless, depth)) return false;
        if (last == ClassPattern::kAccept) {
          first = node;
        } else {
          link(last, node);
        }
        last = node;
      }
      firsts.push_back(first);
    } while (at_ < text_.size() && text_[at_] == '|' && ++at_);
    return true;
  }

  // What follows `node` is `next`; so it is for the ends of a group's alternatives.
  void link(int node, int next) {
    Node& from = pattern_.nodes_[static_cast<size_t>(node)];
    from.next = next;
    if (from.kind != Kind::kGroup) return;
    for (int alternative : from.alternatives) {
      int end = alternative;
      while (at_node(end).next != ClassPattern::kAccept && at_node(end).next != next) end = at_node(end).next;
      if (at_node(end).next == ClassPattern::kAccept) link(end, next);
    }
  }
  const Node& at_node(int node) const { return pattern_.nodes_[static_cast<size_t>(node)]; }

  bool atom(int& node, bool caseless, int depth) {
    if (pattern_.nodes_.size() >= kMostNodes) return false;
    Node made;
    if (text_[at_] == '(') {
      if (!group(made, caseless, depth)) return false;
    } else if (!character(made, caseless)) {
      return false;
    }
    if (!quantifier(made)) return false;
    node = static_cast<int>(pattern_.nodes_.size());
    pattern_.nodes_.push_back(std::move(made));
    return true;
  }

  bool group(Node& made, bool caseless, int depth) {
    made.kind = Kind::kGroup;
    ++at_;
    if (text_.substr(at_).starts_with("?:")) {
      at_ += 2;
    } else if (text_.substr(at_).starts_with("?i:")) {
      caseless = true;
      at_ += 3;
    } else if (text_.substr(at_).starts_with("?=") || text_.substr(at_).starts_with("?!")) {
      made.kind = text_[at_ + 1] == '=' ? Kind::kAhead : Kind::kNotAhead;
      at_ += 2;
    } else if (at_ < text_.size() && text_[at_] == '?') {
      return false;
    }
    if (!alternatives(made.alternatives, caseless, depth + 1)) return false;
    if (at_ >= text_.size() || text_[at_] != ')') return false;
    ++at_;
    return std::none_of(made.alternatives.begin(), made.alternatives.end(),
                        [](int first) { return first == ClassPattern::kAccept; });
  }

  bool character(Node& made, bool caseless) {
    static constexpr std::string_view kSpecial = "^$*+?{}";
    const char c = text_[at_];
    std::optional<CharacterClass> set;
    const size_t begin = at_;
    if (c == '[') {
      set = CharacterClass::read_class(text_, at_);
      if (caseless) return false;
    } else if (c == '\\') {
      set = CharacterClass::read_escape(text_, at_);
      if (caseless) return false;
    } else if (c == '.') {
      ++at_;
      set = CharacterClass::any_but_newline();
    } else if (kSpecial.find(c) == std::string_view::npos) {
      const char32_t point = next_code_point(text_, at_);
      if (caseless && point >= 0x80) return false;
      set = CharacterClass::of(caseless ? both_cases(point) : std::vector<CodeRange>{{point, point}});
    }
    if (!set) return false;
    const std::string key = (caseless ? "i" : "-") + std::string(text_.substr(begin, at_ - begin));
    auto [known, added] = bits_.try_emplace(key, pattern_.classes_.size());
    if (added) {
      if (pattern_.classes_.size() == kMostClasses) return false;
      pattern_.classes_.push_back(std::move(*set));
    }
    made.bit = 1u << known->second;
    return true;
  }

  static std::vector<CodeRange> both_cases(char32_t point) {
    const char32_t low = point | 0x20;
    if (low < 'a' || low > 'z') return {{point, point}};
    std::vector<CodeRange> cases{{low, low}, {low - 0x20, low - 0x20}};
    if (low == 'k') cases.push_back({0x212A, 0x212A});
    if (low == 's') cases.push_back({0x17F, 0x17F});
    return cases;
  }

  bool number(uint32_t& value) {
    const size_t begin = at_;
    value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9' && at_ - begin < 6) {
      value = value * 10 + static_cast<uint32_t>(text_[at_++] - '0');
    }
    return at_ > begin;
  }

  bool quantifier(Node& made) {
    if (at_ >= text_.size()) return true;
    const char c = text_[at_];
    if (c != '?' && c != '*' && c != '+' && c != '{') return true;
    ++at_;
    made.min = c == '+' ? 1 : 0;
    made.max = c == '?' ? 1 : kUnbounded;
    if (c == '{') {
      if (!number(made.min)) return false;
      made.max = made.min;
      if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
        if (!number(made.max)) made.max = kUnbounded;
      }
      if (at_ >= text_.size() || text_[at_++] != '}' || made.max < made.min || made.max == 0) return false;
    }
    if (at_ < text_.size() && text_[at_] == '+' && c != '{') {
      made.possessive = true;
      ++at_;
    }
    if (at_ < text_.size() && (text_[at_] == '?' || text_[at_] == '*' || text_[at_] == '+' || text_[at_] == '{')) {
      return false;
    }
    return made.kind == Kind::kClass || (made.kind == Kind::kGroup && c == '?' && !made.possessive);
  }

  bool may_be_empty(int node) const {
    for (; node != ClassPattern::kAccept; node = at_node(node).next) {
      const Node& here = at_node(node);
      if (here.kind == Kind::kClass && here.min > 0) return false;
      if (here.kind != Kind::kGroup || here.min == 0) continue;
      // The alternatives run on into what follows the group.
      return std::any_of(here.alternatives.begin(), here.alternatives.end(), [&](int a) { return may_be_empty(a); });
    }
    return true;
  }

  std::string_view text_;
  ClassPattern& pattern_;
  size_t at_ = 0;
  std::map<std::string, size_t> bits_;
};

std::unique_ptr<const ClassPattern> ClassPattern::compile(std::string_view oniguruma) {
  auto pattern = std::make_unique<ClassPattern>();
  if (!is_valid_utf8(oniguruma) || !ClassPatternParser(oniguruma, *pattern).parse()) return nullptr;
  for (const auto& [node, bits] : pattern->alternatives_) pattern->start_ |= bits;
  pattern->fill_tables();
  return pattern;
}

uint32_t ClassPattern::first_bits(int node) const {
  uint32_t bits = 0;
  for (; node != kAccept; node = nodes_[static_cast<size_t>(node)].next) {
    const Node& here = nodes_[static_cast<size_t>(node)];
    if (here.kind == Kind::kClass) bits |= here.bit;
    if (here.kind == Kind::kGroup) {
      for (int alternative : here.alternatives) bits |= first_bits(alternative);
    }
    if (here.min > 0 && (here.kind == Kind::kClass || here.kind == Kind::kGroup)) break;
  }
  return bits;
}

// Code points fall into stretches that no class tells apart; each is asked about once.
void ClassPattern::fill_tables() {
  std::vector<char32_t> edges = property_edges();
  for (const CharacterClass& set : classes_) set.append_edges(edges);
  std::sort(edges.begin(), edges.end());
  std::vector<uint32_t> flat(kTabledPoints);
  for (size_t i = 0; i < edges.size() && edges[i] < kTabledPoints; ++i) {
    const size_t end = std::min<size_t>(i + 1 < edges.size() ? edges[i + 1] : kTabledPoints, kTabledPoints);
    if (end > edges[i])
      std::fill(flat.begin() + edges[i], flat.begin() + static_cast<ptrdiff_t>(end), mask_of(edges[i]));
  }
  std::map<std::vector<uint32_t>, uint16_t> known;
  for (size_t start = 0; start < kTabledPoints; start += 256) {
    const auto first = flat.begin() + static_cast<ptrdiff_t>(start);
    auto [found, added] = known.try_emplace({first, first + 256}, static_cast<uint16_t>(known.size()));
    if (added) masks_.insert(masks_.end(), first, first + 256);
    page_.push_back(found->second);
  }
  std::copy_n(masks_.begin(), 128, ascii_);
}

uint32_t ClassPattern::mask_of(char32_t point) const {
  uint32_t mask = 0;
  for (size_t c = 0; c < classes_.size(); ++c) mask |= static_cast<uint32_t>(classes_[c].contains(point)) << c;
  return mask;
}

inline uint32_t ClassPattern::mask_at(std::string_view subject, size_t& at) const {
  const unsigned char lead = static_cast<unsigned char>(subject[at]);
  if (lead < 0x80) {
    ++at;
    return ascii_[lead];
  }
  const char32_t point = next_code_point(subject, at);
  if (point < kTabledPoints) return masks_[page_[point >> 8] * 256u + (point & 255)];
  return mask_of(point);
}

size_t ClassPattern::match(std::string_view subject, int node, size_t at, uint64_t& steps) const {
  while (node != kAccept) {
    const Node& here = nodes_[static_cast<size_t>(node)];
    if (here.kind == Kind::kClass) {
      const uint64_t most = kFewSteps + kStepsOfByte * subject.size();
      uint32_t count = 0;
      while (count < here.max && at < subject.size()) {
        size_t next = at;
        if ((mask_at(subject, next) & here.bit) == 0) break;
        at = next;
        ++count;
      }
      steps += count + 1;
      if (count < here.min) return kNoMatch;
      node = here.next;
      if (node == kAccept || count == here.min || here.possessive) continue;
      for (;; --count, at = previous_boundary(subject, at)) {
        const size_t end = match(subject, node, at, steps);
        if (end != kNoMatch) return end;
        if (count == here.min || steps > most) return kNoMatch;
      }
    }
    if (here.kind == Kind::kGroup) {
      for (int alternative : here.alternatives) {
        const size_t end = match(subject, alternative, at, steps);
        if (end != kNoMatch) return end;
      }
      if (here.min > 0) return kNoMatch;
    } else {
      const bool ahead = std::any_of(here.alternatives.begin(), here.alternatives.end(), [&](int alternative) {
        return match(subject, alternative, at, steps) != kNoMatch;
      });
      if (ahead != (here.kind == Kind::kAhead)) return kNoMatch;
    }
    node = here.next;
  }
  return at;
}

std::optional<std::pair<size_t, size_t>> ClassPattern::find(std::string_view subject, size_t from) const {
  uint64_t steps = 0;
  const uint64_t most = kFewSteps + kStepsOfByte * subject.size();
  while (from < subject.size()) {
    size_t next = from;
    const uint32_t mask = mask_at(subject, next);
    if ((mask & start_) != 0) {
      for (const auto& [node, bits] : alternatives_) {
        if ((mask & bits) == 0) continue;
        const size_t end = match(subject, node, from, steps);
        if (steps > most) {
          throw base::Error(base::Code::kResourceExhausted,
                            "a pattern of the tokenizer backtracks too much on this text; give a shorter text");
        }
        if (end != kNoMatch) return std::make_pair(from, end);
      }
    }
    from = next;
  }
  return std::nullopt;
}

}  // namespace masbak::models
