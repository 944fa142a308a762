#include "models/tokenizer/grapheme.h"

#include <utf8proc.h>

#include "models/tokenizer/unicode.h"
#include "models/tokenizer/unicode_properties.h"

namespace masbak::models {
namespace {

int class_of(char32_t point) {
  const int kind = utf8proc_get_property(static_cast<utf8proc_int32_t>(point))->boundclass;
  if (point < 0x300 || !contains(joining_changes(), point)) return kind;
  const bool joins =
      kind == UTF8PROC_BOUNDCLASS_EXTEND || kind == UTF8PROC_BOUNDCLASS_SPACINGMARK || kind == UTF8PROC_BOUNDCLASS_ZWJ;
  return joins ? UTF8PROC_BOUNDCLASS_OTHER : UTF8PROC_BOUNDCLASS_EXTEND;
}

bool is_control(int kind) {
  return kind == UTF8PROC_BOUNDCLASS_CR || kind == UTF8PROC_BOUNDCLASS_LF || kind == UTF8PROC_BOUNDCLASS_CONTROL;
}

bool joins_syllable(int left, int right) {
  switch (left) {
    case UTF8PROC_BOUNDCLASS_L:
      return right == UTF8PROC_BOUNDCLASS_L || right == UTF8PROC_BOUNDCLASS_V || right == UTF8PROC_BOUNDCLASS_LV ||
             right == UTF8PROC_BOUNDCLASS_LVT;
    case UTF8PROC_BOUNDCLASS_LV:
    case UTF8PROC_BOUNDCLASS_V: return right == UTF8PROC_BOUNDCLASS_V || right == UTF8PROC_BOUNDCLASS_T;
    case UTF8PROC_BOUNDCLASS_LVT:
    case UTF8PROC_BOUNDCLASS_T: return right == UTF8PROC_BOUNDCLASS_T;
    default: return false;
  }
}

}  // namespace

size_t grapheme_end(std::string_view text, size_t at) {
  int left = class_of(next_code_point(text, at));
  bool picture = left == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC;  // and only extenders since
  bool picture_joined = false;                                       // and a ZWJ last
  bool odd_flag = left == UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR;
  while (at < text.size()) {
    size_t next = at;
    const int right = class_of(next_code_point(text, next));
    bool joined = false;
    if (is_control(left) || is_control(right)) {
      joined = left == UTF8PROC_BOUNDCLASS_CR && right == UTF8PROC_BOUNDCLASS_LF;
    } else {
      joined = right == UTF8PROC_BOUNDCLASS_EXTEND || right == UTF8PROC_BOUNDCLASS_ZWJ ||
               right == UTF8PROC_BOUNDCLASS_SPACINGMARK || left == UTF8PROC_BOUNDCLASS_PREPEND ||
               joins_syllable(left, right) || (picture_joined && right == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC) ||
               (odd_flag && right == UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR);
    }
    if (!joined) break;
    picture_joined = picture && right == UTF8PROC_BOUNDCLASS_ZWJ;
    picture = right == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC || (picture && right == UTF8PROC_BOUNDCLASS_EXTEND) ||
              picture_joined;
    odd_flag = right == UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR && !odd_flag;
    left = right;
    at = next;
  }
  return at;
}

}  // namespace masbak::models
