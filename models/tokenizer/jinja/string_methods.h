// Work on texts that methods and filters share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/jinja/render.h"

namespace masbak::models::jinja {

// str.strip: the characters of `characters` (white space if null) off the ends.
std::string_view strip(std::string_view text, const std::string* characters, bool left, bool right);
// str.replace; `count` < 0: all.
std::string replace(std::string_view text, std::string_view old, std::string_view now, int64_t count);
// str.splitlines; views of `text`.
std::vector<std::string_view> lines_of(std::string_view text, bool keep_ends = true);
std::string capitalize(std::string_view text);
std::string title_case(std::string_view text);
bool all_lower(std::string_view text);  // str.islower
bool all_upper(std::string_view text);
// Upper case as Python's str.upper, lower case as str.lower with the final sigma.
std::string python_upper(std::string_view text);
std::string python_lower(std::string_view text);
// float(value) of a number or a text; false if it is neither.
bool number_of(const Value& value, double& number);
// pprint.pformat: broken up into lines of at most 80 characters where the value allows it, keys in order.
std::string pretty_text(const Value& value);

}  // namespace masbak::models::jinja
