#include "adapters/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "base/error.h"

namespace masbak::adapters {
namespace {

std::string pcre2_message(int code) {
  unsigned char buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

struct NamePattern::State {
  std::string text;
  pcre2_code* code = nullptr;
  ~State() { pcre2_code_free(code); }
};

NamePattern::NamePattern(const std::string& text, const std::string& field) : state_(std::make_unique<State>()) {
  int fault = 0;
  size_t offset = 0;
  state_->text = text;
  state_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                               PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &fault, &offset, nullptr);
  if (!state_->code) {
    base::fail_input("'" + text + "' is no regular expression: " + pcre2_message(fault) + " at character " +
                         std::to_string(offset + 1),
                     {"", 0, field});
  }
}

NamePattern::~NamePattern() = default;

bool NamePattern::matches(const std::string& name) const {
  pcre2_match_data* data = pcre2_match_data_create_from_pattern(state_->code, nullptr);
  const int found =
      pcre2_match(state_->code, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, 0, data, nullptr);
  pcre2_match_data_free(data);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) {
    throw base::Error(base::Code::kResourceExhausted, "the regular expression '" + state_->text + "' fails on '" +
                                                          name + "': " + pcre2_message(found) + "; simplify it");
  }
  return true;
}

PatternValues::PatternValues(const std::vector<std::pair<std::string, double>>& patterns, const std::string& field)
    : field_(field) {
  for (const auto& [text, value] : patterns) {
    entries_.push_back({text, std::make_unique<NamePattern>("(.*\\.)?(" + text + ")", field), value});
  }
}

double PatternValues::value(const std::vector<std::string>& names, double fallback) {
  const Entry* first = nullptr;
  for (Entry& entry : entries_) {
    const bool hit =
        std::any_of(names.begin(), names.end(), [&](const std::string& name) { return entry.pattern->matches(name); });
    entry.used |= hit;
    if (hit && !first) first = &entry;
  }
  return first ? first->value : fallback;
}

void PatternValues::require_used() const {
  for (const Entry& entry : entries_) {
    if (!entry.used) base::fail_input("'" + entry.text + "' matches no target of this model", {"", 0, field_});
  }
}

}  // namespace masbak::adapters
