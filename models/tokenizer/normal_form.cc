#include "models/tokenizer/normal_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "models/tokenizer/unicode.h"
#include "models/tokenizer/unicode_properties.h"

namespace masbak::models {
namespace {

enum Role : uint8_t {
  kStable,    // begins a stretch that can be formed by itself, and stays as it is
  kVerbatim,  // the same, but utf8proc would treat it otherwise than the reference
  kMark,      // stays as it is, but may have to be put in order with other marks
  kChanging,  // may change or join what comes before it
};

int options_of(NormalForm form) {
  const bool composed = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  return UTF8PROC_STABLE | (composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compatible ? UTF8PROC_COMPAT : 0);
}

void append_form(std::string& out, std::string_view text, NormalForm form) {
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &mapped, static_cast<utf8proc_option_t>(options_of(form)));
  if (size < 0) {
    throw base::Error(base::Code::kResourceExhausted,
                      std::string("Unicode normalisation failed: ") + utf8proc_errmsg(size) + "; give a shorter text");
  }
  out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  std::free(mapped);
}

std::vector<uint8_t> compute_roles(NormalForm form) {
  const bool composed = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  std::vector<uint8_t> roles(kTabledPoints, kStable);
  for (char32_t point = 0x80; point < kTabledPoints; ++point) {
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    const auto code = static_cast<utf8proc_int32_t>(point);
    if (contains(starters(), point) || contains(whole_characters(), point) ||
        (compatible && contains(whole_compatible_characters(), point))) {
      roles[point] = kVerbatim;
      continue;
    }
    utf8proc_int32_t parts[32];
    const auto count = utf8proc_decompose_char(
        code, parts, 32, static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0)),
        nullptr);
    const bool decomposes = count != 1 || parts[0] != code;
    if (decomposes && composed) {
      std::string one, formed;
      append_utf8(one, point);
      append_form(formed, one, form);
      if (formed != one) roles[point] = kChanging;
      // What stands behind the first part joins it again.
      for (utf8proc_ssize_t i = 1; i < count && i < 32; ++i) {
        if (static_cast<char32_t>(parts[i]) < kTabledPoints) roles[static_cast<size_t>(parts[i])] = kChanging;
      }
    } else if (decomposes) {
      roles[point] = kChanging;
    } else if (utf8proc_get_property(code)->combining_class != 0 && roles[point] == kStable) {
      roles[point] = kMark;
    }
  }
  return roles;
}

const std::vector<uint8_t>& roles_of(NormalForm form) {
  static const std::vector<uint8_t> nfc = compute_roles(NormalForm::kNfc);
  static const std::vector<uint8_t> nfd = compute_roles(NormalForm::kNfd);
  static const std::vector<uint8_t> nfkc = compute_roles(NormalForm::kNfkc);
  static const std::vector<uint8_t> nfkd = compute_roles(NormalForm::kNfkd);
  switch (form) {
    case NormalForm::kNfc: return nfc;
    case NormalForm::kNfd: return nfd;
    case NormalForm::kNfkc: return nfkc;
    case NormalForm::kNfkd: break;
  }
  return nfkd;
}

}  // namespace

std::string normalize(std::string_view text, NormalForm form) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    return std::string(text);
  }
  const std::vector<uint8_t>& roles = roles_of(form);
  auto role_at = [&](size_t& at) {
    const char32_t point = next_code_point(text, at);
    return point < kTabledPoints ? static_cast<Role>(roles[point]) : kStable;
  };
  std::string out;
  out.reserve(text.size());
  size_t copied = 0;  // text before this is in `out`
  // A stretch is one stable character (none at the very front) and those behind it that are not.
  for (size_t at = 0; at < text.size();) {
    size_t begin = at, next = at;
    const Role first = role_at(next);
    if (first == kStable || first == kVerbatim) at = next;
    size_t marks = 0;
    bool changes = false;
    for (next = at; next < text.size(); at = next) {
      const Role role = role_at(next);
      if (role == kStable || role == kVerbatim) break;
      marks += role == kMark;
      changes = changes || role == kChanging;
    }
    if (!changes && marks < 2) continue;
    if (first == kVerbatim) next_code_point(text, begin);
    out.append(text, copied, begin - copied);
    append_form(out, text.substr(begin, at - begin), form);
    copied = at;
  }
  out.append(text, copied, text.size() - copied);
  return out;
}

}  // namespace masbak::models
