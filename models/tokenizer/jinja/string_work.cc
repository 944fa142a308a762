#include <cstdlib>
#include <functional>

#include "models/tokenizer/jinja/string_methods.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {

std::string_view strip(std::string_view text, const std::string* characters, bool left, bool right) {
  Work::spend_search(text.size(), characters == nullptr ? 0 : characters->size());
  auto unwanted = [&](std::string_view letter, char32_t point) {
    return characters == nullptr ? is_python_space(point) : characters->find(letter) != std::string::npos;
  };
  while (left && !text.empty()) {
    size_t end = 0;
    char32_t point = next_code_point(text, end);
    if (!unwanted(text.substr(0, end), point)) break;
    text.remove_prefix(end);
  }
  while (right && !text.empty()) {
    size_t begin = previous_boundary(text, text.size()), end = begin;
    char32_t point = next_code_point(text, end);
    if (!unwanted(text.substr(begin), point)) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

std::string replace(std::string_view text, std::string_view old, std::string_view now, int64_t count) {
  Work::spend_search(text.size(), old.size());
  std::string out;
  auto grow = [&](std::string_view part) {
    out += part;
    check_size(out);
  };
  size_t at = 0;
  if (old.empty()) {  // between all characters
    while (count != 0) {
      grow(now);
      --count;
      if (at >= text.size()) return out;
      size_t begin = at;
      next_code_point(text, at);
      grow(text.substr(begin, at - begin));
    }
  }
  while (count != 0 && !old.empty()) {
    size_t found = text.find(old, at);
    if (found == std::string_view::npos) break;
    grow(text.substr(at, found - at));
    grow(now);
    at = found + old.size();
    --count;
  }
  grow(text.substr(at));
  return out;
}

std::vector<std::string_view> lines_of(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    const char32_t point = next_code_point(text, at);
    const bool breaks = (point >= 0x0A && point <= 0x0D) || (point >= 0x1C && point <= 0x1E) || point == 0x85 ||
                        point == 0x2028 || point == 0x2029;
    if (!breaks) continue;
    if (point == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

bool number_of(const Value& value, double& number) {
  if (value.is_number()) {
    number = value.as_double();
    return true;
  }
  if (!value.is_string() && value.type() != Value::Type::kBigInt) return false;
  const std::string text(strip(value.text(), nullptr, true, true));
  if (text.empty() || text.find_first_of("xX(") != std::string::npos) return false;
  char* end = nullptr;
  number = std::strtod(text.c_str(), &end);
  return *end == '\0';
}

std::string python_upper(std::string_view text) { return to_upper(text); }

// A capital sigma at the end of a word becomes the final one.
std::string python_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool letter_before = false;
  for (size_t at = 0; at < text.size();) {
    char32_t point = next_code_point(text, at);
    if (point == 0x3A3) {
      size_t next = at;
      bool letter_behind = at < text.size() && is_letter(next_code_point(text, next));
      append_utf8(out, letter_before && !letter_behind ? 0x3C2 : 0x3C3);
    } else {
      append_lower(out, point);
    }
    letter_before = is_letter(point) || (letter_before && is_mark(point));
  }
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return "";
  size_t at = 0;
  std::string out;
  char32_t first = next_code_point(text, at);
  if (first == 0xDF) {
    out = "Ss";
  } else {
    append_upper(out, first);
  }
  return out + python_lower(text.substr(at));
}

std::string title_case(std::string_view text) {
  std::string out;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    char32_t point = next_code_point(text, at);
    if (inside) {
      append_lower(out, point);
    } else {
      append_upper(out, point);
    }
    inside = is_letter(point);
  }
  return out;
}

namespace {

bool all_cased(std::string_view text, const std::function<bool(char32_t)>& wanted,
               const std::function<bool(char32_t)>& other) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    char32_t point = next_code_point(text, at);
    if (other(point)) return false;
    any = any || wanted(point);
  }
  return any;
}

}  // namespace

bool all_lower(std::string_view text) { return all_cased(text, is_cased_lower, is_cased_upper); }
bool all_upper(std::string_view text) { return all_cased(text, is_cased_upper, is_cased_lower); }

}  // namespace masbak::models::jinja
