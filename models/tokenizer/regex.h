// Regular expressions of tokenizer.json, which are written for Oniguruma, run by PCRE2.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "models/tokenizer/class_pattern.h"
#include "models/tokenizer/unicode_changes.h"

namespace masbak::models {

// The same expression in PCRE2's dialect: \s, \w and \h as Oniguruma defines them, scripts by their name alone, and
// class intersections ([a&&[b]]) as a look-ahead. UNIMPLEMENTED for an intersection that has no such form.
std::string pcre2_dialect(std::string_view oniguruma);

// The code points of a script such as "Han"; nothing if there is no such script.
std::optional<std::vector<CodeRange>> script_ranges(std::string_view name);

// Thread-safe: each thread keeps its own match block. Runs as a ClassPattern where it can, and in PCRE2 otherwise.
class Regex {
 public:
  // INVALID_ARGUMENT at `where` with the position and PCRE2's words if the expression is not valid.
  explicit Regex(std::string_view oniguruma, const base::Where& where = {});

  // What find takes: `text` itself, or a copy in `buffer` of the same length with other characters in place of
  // those that PCRE2 does not know yet.
  std::string_view readable(std::string_view text, std::string& buffer) const;

  // First match [begin, end) at or after `from`; `subject` must be valid UTF-8 and `from` a boundary.
  // RESOURCE_EXHAUSTED if the expression backtracks past the limits.
  std::optional<std::pair<size_t, size_t>> find(std::string_view subject, size_t from) const;

  // For tests: without the faster way.
  static Regex in_pcre2(std::string_view oniguruma);
  bool is_class_pattern() const { return fast_ != nullptr; }

 private:
  struct Code;
  Regex() = default;
  void compile(std::string_view oniguruma, const base::Where& where);
  std::shared_ptr<const Code> code_;
  std::shared_ptr<const ClassPattern> fast_;
};

}  // namespace masbak::models
