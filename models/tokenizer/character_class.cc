#include "models/tokenizer/character_class.h"

#include <algorithm>

#include "models/tokenizer/regex.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

// The bits of the general categories that a name such as "L" or "Lu" stands for; 0 for another name.
uint32_t category_bits(std::string_view name) {
  static constexpr std::string_view kNames[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                                "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                                "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
  if (name == "Any") return ~0u;
  uint32_t bits = 0;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name || (name.size() == 1 && kNames[i][0] == name[0])) bits |= 1u << i;
  }
  return bits;
}

std::optional<char32_t> read_hex(std::string_view digits) {
  if (digits.empty() || digits.size() > 6) return std::nullopt;
  char32_t value = 0;
  for (char c : digits) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + static_cast<char32_t>(digit);
  }
  return value <= 0x10FFFF ? std::optional(value) : std::nullopt;
}

}  // namespace

std::optional<char32_t> read_escaped_character(std::string_view text, size_t& at) {
  if (at + 1 >= text.size()) return std::nullopt;
  const char kind = text[at + 1];
  static constexpr std::pair<char, char32_t> kControls[] = {{'n', 0xA}, {'r', 0xD}, {'t', 9},   {'f', 0xC},
                                                            {'v', 0xB}, {'a', 7},   {'e', 0x1B}};
  for (const auto& [letter, point] : kControls) {
    if (kind == letter) {
      at += 2;
      return point;
    }
  }
  if (kind == 'x' || kind == 'u') {
    size_t begin = at + 2, length = kind == 'x' ? 2 : 4, behind = 0;
    if (kind == 'x' && begin < text.size() && text[begin] == '{') {
      const size_t close = text.find('}', ++begin);
      if (close == std::string_view::npos) return std::nullopt;
      length = close - begin;
      behind = 1;
    }
    if (begin + length > text.size()) return std::nullopt;
    auto value = read_hex(text.substr(begin, length));
    if (value) at = begin + length + behind;
    return value;
  }
  const bool letter = (kind | 0x20) >= 'a' && (kind | 0x20) <= 'z';
  if (letter || (kind >= '0' && kind <= '9')) return std::nullopt;
  ++at;
  return next_code_point(text, at);
}

CharacterClass CharacterClass::of(std::vector<CodeRange> ranges) {
  CharacterClass result;
  result.ranges_ = std::move(ranges);
  return result;
}

CharacterClass CharacterClass::any_but_newline() {
  CharacterClass result = of({{U'\n', U'\n'}});
  result.negated_ = true;
  return result;
}

void CharacterClass::add(CharacterClass part) {
  if (part.negated_ || !part.besides_.empty()) {
    parts_.push_back(std::move(part));
    return;
  }
  ranges_.insert(ranges_.end(), part.ranges_.begin(), part.ranges_.end());
  categories_ |= part.categories_;
  sets_.insert(sets_.end(), part.sets_.begin(), part.sets_.end());
  std::move(part.parts_.begin(), part.parts_.end(), std::back_inserter(parts_));
}

bool CharacterClass::in_union(char32_t point) const {
  if (categories_ >> reference_category(point) & 1) return true;
  for (const CodeRange& range : ranges_) {
    if (point >= range.first && point <= range.last) return true;
  }
  return std::any_of(sets_.begin(), sets_.end(), [&](CharacterSet set) { return is_in(set, point); }) ||
         std::any_of(parts_.begin(), parts_.end(), [&](const CharacterClass& part) { return part.contains(point); });
}

bool CharacterClass::contains(char32_t point) const {
  bool inside = in_union(point);
  for (size_t i = 0; inside && i < besides_.size(); ++i) inside = besides_[i].contains(point);
  return inside != negated_;
}

void CharacterClass::append_edges(std::vector<char32_t>& edges) const {
  for (const CodeRange& range : ranges_) {
    edges.push_back(range.first);
    edges.push_back(range.last + 1);
  }
  for (const CharacterClass& part : parts_) part.append_edges(edges);
  for (const CharacterClass& beside : besides_) beside.append_edges(edges);
}

std::optional<CharacterClass> CharacterClass::read_property(std::string_view text, size_t& at, bool negated) {
  const size_t close = text.find('}', at);
  if (at >= text.size() || text[at] != '{' || close == std::string_view::npos) return std::nullopt;
  std::string_view name = text.substr(at + 1, close - at - 1);
  if (name.starts_with('^')) {
    negated = !negated;
    name.remove_prefix(1);
  }
  CharacterClass result;
  result.categories_ = category_bits(name);
  if (result.categories_ == 0) {
    auto script = script_ranges(name);
    if (!script) return std::nullopt;
    result.ranges_ = std::move(*script);
  }
  result.negated_ = negated;
  at = close + 1;
  return result;
}

std::optional<CharacterClass> CharacterClass::read_escape(std::string_view text, size_t& at) {
  if (at + 1 >= text.size()) return std::nullopt;
  const char kind = text[at + 1];
  CharacterClass result;
  switch (kind | 0x20) {
    case 's':
      result = of({{9, 0xD},
                   {0x20, 0x20},
                   {0x85, 0x85},
                   {0xA0, 0xA0},
                   {0x1680, 0x1680},
                   {0x2000, 0x200A},
                   {0x2028, 0x2029},
                   {0x202F, 0x202F},
                   {0x205F, 0x205F},
                   {0x3000, 0x3000}});
      break;
    case 'w': result.sets_.push_back(CharacterSet::kPatternWord); break;
    case 'd': result.categories_ = category_bits("Nd"); break;
    case 'h': result = of({{'0', '9'}, {'a', 'f'}, {'A', 'F'}}); break;
    case 'p': return read_property(text, at += 2, kind == 'P');
    default: {
      auto character = read_escaped_character(text, at);
      return character ? std::optional(of({{*character, *character}})) : std::nullopt;
    }
  }
  result.negated_ = kind < 'a';
  at += 2;
  return result;
}

std::optional<CharacterClass> CharacterClass::read_items(std::string_view text, size_t& at) {
  CharacterClass items;
  for (bool first = true; at < text.size(); first = false) {
    if ((text[at] == ']' && !first) || text.substr(at).starts_with("&&")) return items;
    if (text[at] == '[') {
      if (text.substr(at).starts_with("[:")) return std::nullopt;
      auto nested = read_class(text, at);
      if (!nested) return std::nullopt;
      items.add(std::move(*nested));
      continue;
    }
    char32_t low = 0;
    if (text[at] == '\\') {
      auto character = read_escaped_character(text, at);
      if (!character) {
        auto set = read_escape(text, at);
        if (!set) return std::nullopt;
        items.add(std::move(*set));
        continue;
      }
      low = *character;
    } else {
      low = next_code_point(text, at);
    }
    char32_t high = low;
    if (at + 1 < text.size() && text[at] == '-' && text[at + 1] != ']' && text[at + 1] != '[') {
      ++at;
      if (text[at] == '\\') {
        auto character = read_escaped_character(text, at);
        if (!character) return std::nullopt;
        high = *character;
      } else {
        high = next_code_point(text, at);
      }
      if (high < low) return std::nullopt;
    }
    items.ranges_.push_back({low, high});
  }
  return std::nullopt;
}

std::optional<CharacterClass> CharacterClass::read_class(std::string_view text, size_t& at) {
  ++at;
  const bool negated = at < text.size() && text[at] == '^';
  if (negated) ++at;
  auto result = read_items(text, at);
  while (result && text.substr(at).starts_with("&&")) {
    at += 2;
    auto beside = read_items(text, at);
    if (!beside) return std::nullopt;
    result->besides_.push_back(std::move(*beside));
  }
  if (!result || at >= text.size()) return std::nullopt;
  ++at;
  result->negated_ = negated;
  return result;
}

}  // namespace masbak::models
