#define PCRE2_CODE_UNIT_WIDTH 8
#include "models/tokenizer/regex.h"

#include <pcre2.h>

#include "base/error.h"

namespace masbak::models {
namespace {

constexpr std::string_view kSpaces =
    R"(\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kWord = R"(\p{L}\p{M}\p{Nd}\p{Pc})";

// Reads one escape at text[at] == '\\' and appends its translation.
void translate_escape(std::string_view text, size_t& at, bool in_class, std::string& out) {
  char kind = at + 1 < text.size() ? text[at + 1] : '\0';
  std::string_view set = kind == 's' || kind == 'S' ? kSpaces : kind == 'w' || kind == 'W' ? kWord : "";
  bool negated = kind == 'S' || kind == 'W';
  if (set.empty() || (negated && in_class)) {
    out.append(text.substr(at, 2));
  } else if (in_class) {
    out.append(set);
  } else {
    out.append(negated ? "[^" : "[").append(set).append("]");
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
    pcre2_set_match_limit(context, 20'000'000);
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

Regex::Regex(std::string_view oniguruma, const std::string& field) {
  auto compiled = std::make_shared<Code>();
  std::string pattern = pcre2_dialect(oniguruma);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
  if (compiled->code == nullptr) {
    base::fail_input("expected a regular expression, found \"" + std::string(oniguruma) + "\": " + pcre2_words(error) +
                         " at character " + std::to_string(offset) + "; correct the pattern",
                     {.field = field});
  }
  compiled->jit = pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE) == 0;
  code_ = std::move(compiled);
}

std::optional<std::pair<size_t, size_t>> Regex::find(std::string_view subject, size_t from) const {
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
