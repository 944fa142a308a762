#define PCRE2_CODE_UNIT_WIDTH 8
#include "models/tokenizer/regex.h"

#include <pcre2.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>

#include "models/tokenizer/unicode.h"
#include "models/tokenizer/unicode_properties.h"

namespace masbak::models {
namespace {

// The inside of a class with the members of an escape such as \w, or all others.
std::string escape_members(char kind) {
  const std::string escape{'\\', kind};
  size_t at = 0;
  const auto set = CharacterClass::read_escape(escape, at);
  std::vector<char32_t> edges = property_edges();
  set->append_edges(edges);
  // Past the table only the variation selectors differ from their neighbours.
  edges.insert(edges.end(), {kTabledPoints, 0xE0100, 0xE01F0, 0x110000});
  std::sort(edges.begin(), edges.end());
  std::string members;
  char hex[32];
  for (size_t i = 0; i + 1 < edges.size(); ++i) {
    if (edges[i] == edges[i + 1] || !set->contains(edges[i])) continue;
    size_t last = i;
    while (last + 2 < edges.size() && set->contains(edges[last + 1])) ++last;
    members.append(
        hex, static_cast<size_t>(std::snprintf(hex, sizeof hex, "\\x{%X}-\\x{%X}", static_cast<unsigned>(edges[i]),
                                               static_cast<unsigned>(edges[last + 1] - 1))));
    i = last;
  }
  return members;
}

// \p{Greek} alone would be Script_Extensions in PCRE2.
bool is_script(std::string_view name) {
  const std::string pattern = "\\p{sc:" + std::string(name) + "}";
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error, &offset, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

void translate_property(std::string_view text, size_t& at, std::string& out) {
  const size_t close = text.find('}', at);
  if (at + 2 >= text.size() || text[at + 2] != '{' || close == std::string_view::npos) {
    out.append(text.substr(at, 2));
    at += 2;
    return;
  }
  std::string_view name = text.substr(at + 3, close - at - 3);
  out.append(text.substr(at, 3));
  if (name.starts_with('^')) {
    out += '^';
    name.remove_prefix(1);
  }
  out.append(name.size() > 2 && is_script(name) ? "sc:" : "").append(name).append("}");
  at = close + 1;
}

// Reads one escape at text[at] == '\\' and appends its translation.
void translate_escape(std::string_view text, size_t& at, bool in_class, std::string& out) {
  char kind = at + 1 < text.size() ? text[at + 1] : '\0';
  if (kind == 'p' || kind == 'P') return translate_property(text, at, out);
  if (kind == '\0' || std::string_view("sSwWhH").find(kind) == std::string_view::npos) {
    out.append(text.substr(at, 2));
  } else if (in_class) {
    out.append(escape_members(kind));
  } else {
    out.append("[").append(escape_members(kind)).append("]");
  }
  at += 2;
}

std::string translate_class(std::string_view text, size_t& at);

// The inside of a class up to its closing bracket or an "&&"; nested classes are unions.
std::string class_items(std::string_view text, size_t& at) {
  std::string items;
  bool first = true;
  while (at < text.size()) {
    char c = text[at];
    if (c == '\\') {
      translate_escape(text, at, true, items);
    } else if (c == ']' && !first) {
      break;
    } else if (c == '&' && at + 1 < text.size() && text[at + 1] == '&') {
      break;
    } else if (c == '[' && at + 1 < text.size() && text[at + 1] == ':') {
      size_t close = text.find(":]", at);
      if (close == std::string_view::npos) close = text.size() - 2;
      items.append(text.substr(at, close + 2 - at));
      at = close + 2;
    } else if (c == '[') {
      std::string inner = translate_class(text, at);
      if (inner.size() < 2 || inner[0] != '[' || inner[1] == '^') {
        throw base::Error(base::Code::kUnimplemented, "a negated class inside a class is not supported in a regex");
      }
      items.append(inner, 1, inner.size() - 2);
    } else {
      items += c;
      ++at;
    }
    first = false;
  }
  return items;
}

std::string translate_class(std::string_view text, size_t& at) {
  ++at;  // the opening bracket
  bool negated = at < text.size() && text[at] == '^';
  if (negated) ++at;
  std::string open = negated ? "[^" : "[";
  std::string result = open + class_items(text, at) + "]";
  while (at + 1 < text.size() && text[at] == '&' && text[at + 1] == '&') {
    if (negated) {
      throw base::Error(base::Code::kUnimplemented, "a negated class intersection is not supported in a regex");
    }
    at += 2;
    std::string other;
    if (at < text.size() && text[at] == '[') {
      other = translate_class(text, at);
    } else {
      other = "[" + class_items(text, at) + "]";
    }
    result = "(?:(?=" + other + ")" + result + ")";
  }
  if (at < text.size()) ++at;  // the closing bracket
  return result;
}

}  // namespace

std::string pcre2_dialect(std::string_view oniguruma) {
  std::string out;
  for (size_t at = 0; at < oniguruma.size();) {
    if (oniguruma[at] == '\\') {
      translate_escape(oniguruma, at, false, out);
    } else if (oniguruma[at] == '[') {
      out += translate_class(oniguruma, at);
    } else {
      out += oniguruma[at++];
    }
  }
  return out;
}

struct Regex::Code {
  pcre2_code* code = nullptr;
  bool jit = false;
  ~Code() { pcre2_code_free(code); }
};

namespace {

// What one thread needs to match: the block that receives offsets, and a stack for compiled code.
struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(64, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, 8 * 1024 * 1024, nullptr);
  Scratch() {
    pcre2_jit_stack_assign(context, nullptr, stack);
    pcre2_set_match_limit(context, 5'000'000);
    pcre2_set_heap_limit(context, 256 * 1024);  // kibibytes
  }
  ~Scratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

std::string pcre2_words(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

Regex::Regex(std::string_view oniguruma, const base::Where& where) : fast_(ClassPattern::compile(oniguruma)) {
  if (!fast_) compile(oniguruma, where);
}

Regex Regex::in_pcre2(std::string_view oniguruma) {
  Regex regex;
  regex.compile(oniguruma, {});
  return regex;
}

void Regex::compile(std::string_view oniguruma, const base::Where& where) {
  auto compiled = std::make_shared<Code>();
  std::string pattern = pcre2_dialect(oniguruma);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
  if (compiled->code == nullptr) {
    base::fail_input("expected a regular expression, found \"" + std::string(oniguruma) + "\": " + pcre2_words(error) +
                         " at character " + std::to_string(offset) + "; correct the pattern",
                     where);
  }
  compiled->jit = pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE) == 0;
  code_ = std::move(compiled);
}

std::string_view Regex::readable(std::string_view text, std::string& buffer) const {
  if (fast_) return text;
  bool copied = false;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t point = next_code_point(text, at);
    if (point < 0x80 || !is_in(CharacterSet::kUnknownToPcre2, point)) continue;
    if (!copied) buffer = text;
    copied = true;
    std::string proxy;
    append_utf8(proxy, pattern_proxy(point));
    buffer.replace(begin, at - begin, proxy);
  }
  return copied ? std::string_view(buffer) : text;
}

std::optional<std::vector<CodeRange>> script_ranges(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, std::vector<CodeRange>, std::less<>> known;
  std::lock_guard lock(mutex);
  if (auto found = known.find(name); found != known.end()) return found->second;
  if (!is_script(name)) return std::nullopt;
  std::string text;
  std::vector<char32_t> points;
  for (char32_t point = 0; point < kTabledPoints; ++point) {
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    append_utf8(text, pattern_proxy(point));
    points.push_back(point);
  }
  const Regex script = Regex::in_pcre2("\\p{" + std::string(name) + "}");
  std::vector<CodeRange> ranges;
  size_t index = 0, counted = 0;
  for (auto match = script.find(text, 0); match; match = script.find(text, match->second)) {
    while (counted < match->first) {
      next_code_point(text, counted);
      ++index;
    }
    const char32_t point = points[index];
    if (!ranges.empty() && ranges.back().last + 1 == point) {
      ranges.back().last = point;
    } else {
      ranges.push_back({point, point});
    }
  }
  return known.emplace(name, std::move(ranges)).first->second;
}

std::optional<std::pair<size_t, size_t>> Regex::find(std::string_view subject, size_t from) const {
  if (fast_) return fast_->find(subject, from);
  thread_local Scratch scratch;
  auto data = reinterpret_cast<PCRE2_SPTR>(subject.data());
  int found =
      code_->jit
          ? pcre2_jit_match(code_->code, data, subject.size(), from, PCRE2_NO_UTF_CHECK, scratch.data, scratch.context)
          : pcre2_match(code_->code, data, subject.size(), from, PCRE2_NO_UTF_CHECK, scratch.data, scratch.context);
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) {
    throw base::Error(base::Code::kResourceExhausted, "a pattern of the tokenizer failed on this text: " +
                                                          pcre2_words(found) + "; give a shorter text");
  }
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(scratch.data);
  return std::make_pair(static_cast<size_t>(offsets[0]), static_cast<size_t>(offsets[1]));
}

}  // namespace masbak::models
