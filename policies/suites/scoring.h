// Whether an answer holds a key fact. Pure text, English and Arabic.
#pragma once

#include <string>
#include <string_view>

namespace masbak::policies {

// The text in the form in which answers and keys are compared: ASCII letters small; Arabic-Indic and Persian
// digits as 0 to 9, the Arabic decimal separator as '.'; Arabic vowel signs, tatweel and thousands separator
// left out; the forms of alef as one, alef maksura as ya; the dashes of typography as '-'; every kind of space
// as ' '.
std::string comparable(std::string_view text);

// True if `answer` holds `key`, white space aside: "14.7 barg" is in "opens at 14.7barg." A key that begins or
// ends with a digit or Latin letter must not be a part of a longer number or word there: "14.7" is not in
// "114.7", "14.75" or "14.7.2", "HV-62" not in "XHV-62". An Arabic word may carry a prefix or a suffix. An empty key
// is in nothing.
bool holds_key(std::string_view answer, std::string_view key);

}  // namespace masbak::policies
