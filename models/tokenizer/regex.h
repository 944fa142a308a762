// Regular expressions of tokenizer.json, which are written for Oniguruma, run by PCRE2.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace masbak::models {

// The same expression in PCRE2's dialect: \s and \w as Oniguruma defines them, and class intersections
// ([a&&[b]]) as a look-ahead. UNIMPLEMENTED for an intersection that has no such form.
std::string pcre2_dialect(std::string_view oniguruma);

// Thread-safe: each thread keeps its own match block.
class Regex {
 public:
  // INVALID_ARGUMENT with the position and PCRE2's words if the expression is not valid.
  explicit Regex(std::string_view oniguruma, const std::string& field = "");

  // First match [begin, end) at or after `from`; `subject` must be valid UTF-8 and `from` a boundary.
  // RESOURCE_EXHAUSTED if the expression backtracks past PCRE2's limits.
  std::optional<std::pair<size_t, size_t>> find(std::string_view subject, size_t from) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace masbak::models
