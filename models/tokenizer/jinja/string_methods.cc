// The methods of str.
#include "models/tokenizer/jinja/string_methods.h"

#include <algorithm>

#include "models/tokenizer/jinja/methods.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

Value like(Render& render, const Value& receiver, std::string text) {
  return render.make_text(std::move(text), receiver.is_markup());
}

const std::string* optional_text(const Arguments& arguments, size_t position, const char* name, const char* callee) {
  const Value* value = arguments.find(position, name);
  return value == nullptr || value->is_none() ? nullptr : &string_argument(*value, callee);
}

template <bool kLeft, bool kRight>
Value strip_method(Render& render, const Value& self, Arguments& arguments) {
  arguments.check("strip", 1, {"chars"});
  render.spend_bytes(self.text().size());
  const std::string* characters = optional_text(arguments, 0, "chars", "strip");
  return like(render, self, std::string(strip(self.text(), characters, kLeft, kRight)));
}

template <std::string (*kWork)(std::string_view)>
Value case_method(Render& render, const Value& self, Arguments& arguments) {
  arguments.check("upper, lower, title or capitalize", 0);
  render.spend_bytes(self.text().size());
  return like(render, self, kWork(self.text()));
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    char32_t point = next_code_point(text, at);
    if (is_cased_upper(point)) {
      append_lower(out, point);
    } else {
      append_upper(out, point);
    }
  }
  return out;
}

std::string case_fold(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    char32_t point = next_code_point(text, at);
    if (point == 0xDF) {
      out += "ss";
    } else {
      append_lower(out, point == 0x3C2 ? 0x3C3 : point);
    }
  }
  return out;
}

void split_spaces(std::string_view text, int64_t most, bool right, std::vector<std::string_view>& parts) {
  while (true) {
    text = strip(text, nullptr, !right, right);
    if (text.empty()) return;
    if (most-- == 0) {
      parts.push_back(strip(text, nullptr, !right, right));
      return;
    }
    size_t at = right ? text.size() : 0;
    while (right ? at > 0 : at < text.size()) {
      size_t begin = right ? previous_boundary(text, at) : at, end = begin;
      if (is_python_space(next_code_point(text, end))) break;
      at = right ? begin : end;
    }
    parts.push_back(right ? text.substr(at) : text.substr(0, at));
    text = right ? text.substr(0, at) : text.substr(at);
  }
}

template <bool kRight>
Value split_method(Render& render, const Value& self, Arguments& arguments) {
  arguments.check(kRight ? "rsplit" : "split", 2, {"sep", "maxsplit"});
  std::string_view text = self.text();
  render.spend_bytes(text.size());
  const std::string* separator = optional_text(arguments, 0, "sep", "split");
  const Value* limit = arguments.find(1, "maxsplit");
  int64_t most = limit == nullptr ? -1 : integer_argument(*limit, "split");
  std::vector<std::string_view> parts;
  if (separator == nullptr) {
    split_spaces(text, most, kRight, parts);
  } else {
    if (separator->empty()) fail("empty separator");
    Work::spend_search(text.size(), separator->size());
    while (true) {
      size_t found = most-- == 0 ? std::string_view::npos : kRight ? text.rfind(*separator) : text.find(*separator);
      if (found == std::string_view::npos) break;
      parts.push_back(kRight ? text.substr(found + separator->size()) : text.substr(0, found));
      text = kRight ? text.substr(0, found) : text.substr(found + separator->size());
    }
    parts.push_back(text);
  }
  if (kRight) std::reverse(parts.begin(), parts.end());
  Items items;
  for (std::string_view part : parts) items.push_back(like(render, self, std::string(part)));
  return make_list(std::move(items));
}

Value splitlines(Render& render, const Value& self, Arguments& arguments) {
  arguments.check("splitlines", 1, {"keepends"});
  const Value* keep = arguments.find(0, "keepends");
  bool keep_ends = keep != nullptr && truth(*keep);
  Items items;
  for (std::string_view line : lines_of(self.text(), keep_ends)) {
    items.push_back(like(render, self, std::string(line)));
  }
  render.spend(static_cast<int64_t>(items.size()));
  return make_list(std::move(items));
}

// The part of the text that optional start and end arguments leave, and its first character's number.
std::string_view window(const Value& self, const Arguments& arguments, int64_t& first) {
  std::string_view text = self.text();
  first = 0;
  if (arguments.positional.size() < 2) return text;
  int64_t size = length(self);
  auto bound = [&](size_t position, int64_t fallback) {
    if (position >= arguments.positional.size() || arguments.positional[position].is_none()) return fallback;
    int64_t at = integer_argument(arguments.positional[position], "find");
    return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
  };
  first = bound(1, 0);
  int64_t last = bound(2, size);
  size_t begin = 0;
  for (int64_t i = 0; i < first; ++i) next_code_point(text, begin);
  size_t end = begin;
  for (int64_t i = first; i < last; ++i) next_code_point(text, end);
  return text.substr(begin, end - begin);
}

template <bool kStart>
Value affix_method(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty()) fail("startswith and endswith take at least 1 argument (0 given)");
  int64_t first = 0;
  std::string_view text = window(self, arguments, first);
  const Value& wanted = arguments.positional[0];
  auto matches = [&](const Value& affix) {
    const std::string& each = string_argument(affix, kStart ? "startswith" : "endswith");
    render.spend_bytes(each.size());
    return kStart ? text.starts_with(each) : text.ends_with(each);
  };
  if (!wanted.is_list() || wanted.list().kind != List::Kind::kTuple) return Value::boolean(matches(wanted));
  const Items& items = wanted.list().items;
  return Value::boolean(std::any_of(items.begin(), items.end(), matches));
}

template <bool kRight, bool kMustFind>
Value find_text(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty()) fail("find takes at least 1 argument (0 given)");
  render.spend_bytes(self.text().size());
  int64_t first = 0;
  std::string_view text = window(self, arguments, first);
  const std::string& wanted = string_argument(arguments.positional[0], "find");
  Work::spend_search(text.size(), wanted.size());
  size_t found = kRight ? text.rfind(wanted) : text.find(wanted);
  if (found != std::string_view::npos) {
    return Value::integer(first + static_cast<int64_t>(count_code_points(text.substr(0, found))));
  }
  if (kMustFind) fail("substring not found");
  return Value::integer(-1);
}

Value count_text(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty()) fail("count() takes at least 1 argument (0 given)");
  render.spend_bytes(self.text().size());
  int64_t first = 0, count = 0;
  std::string_view text = window(self, arguments, first);
  const std::string& wanted = string_argument(arguments.positional[0], "count");
  Work::spend_search(text.size(), wanted.size());
  if (wanted.empty()) return Value::integer(static_cast<int64_t>(count_code_points(text)) + 1);
  for (size_t at = text.find(wanted); at != std::string_view::npos; at = text.find(wanted, at + wanted.size())) ++count;
  return Value::integer(count);
}

Value replace_method(Render& render, const Value& self, Arguments& arguments) {
  arguments.check("replace", 3, {"count"});
  if (arguments.positional.size() < 2)
    fail("replace expected at least 2 arguments, got " + std::to_string(arguments.positional.size()));
  const Value* count = arguments.find(2, "count");
  return like(render, self,
              replace(self.text(), string_argument(arguments.positional[0], "replace"),
                      string_argument(arguments.positional[1], "replace"),
                      count == nullptr ? -1 : integer_argument(*count, "replace")));
}

Value join_method(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.size() != 1) fail("join() takes exactly one argument");
  std::string out;
  int64_t index = 0;
  for (const Value& item : iterate(arguments.positional[0])) {
    if (!item.is_string()) {
      fail("sequence item " + std::to_string(index) + ": expected str instance, " + type_name(item) + " found");
    }
    if (index++ > 0) out += self.text();
    out += item.text();
    render.spend();
    check_size(out);
  }
  return like(render, self, std::move(out));
}

Value format_method(Render& render, const Value& self, Arguments& arguments) {
  return like(render, self, brace_format(render, self.text(), arguments));
}

Value format_map(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.positional[0].is_dict())
    fail("format_map() takes exactly one mapping");
  Arguments named;
  for (const auto& [key, value] : arguments.positional[0].dict().items) {
    if (key.is_string()) named.named.emplace_back(key.text(), value);
  }
  return like(render, self, brace_format(render, self.text(), named));
}

template <bool (*kTest)(char32_t)>
Value every_character(Render& render, const Value& self, Arguments& arguments) {
  arguments.check("str.is…", 0);
  const std::string& text = self.text();
  render.spend_bytes(text.size());
  for (size_t at = 0; at < text.size();) {
    if (!kTest(next_code_point(text, at))) return Value::boolean(false);
  }
  return Value::boolean(!text.empty());
}

bool is_alphanumeric(char32_t point) { return is_letter(point) || is_number(point); }
Value only_ascii(Render&, const Value& self, Arguments&) {
  const std::string& text = self.text();
  return Value::boolean(std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; }));
}

template <bool (*kTest)(std::string_view)>
Value whole_text(Render&, const Value& self, Arguments&) {
  return Value::boolean(kTest(self.text()));
}

bool is_title(std::string_view text) {
  return title_case(text) == text && (all_upper(text) || title_case(text) != to_lower(text));
}
bool is_identifier(std::string_view text) {
  size_t at = 0;
  if (text.empty() || is_decimal(next_code_point(text, at))) return false;
  for (at = 0; at < text.size();) {
    if (!is_word(next_code_point(text, at))) return false;
  }
  return true;
}

template <char kAlign>
Value pad_method(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty()) fail("center, ljust and rjust take at least 1 argument");
  int64_t missing = integer_argument(arguments.positional[0], "center") - length(self);
  std::string fill = arguments.positional.size() > 1 ? string_argument(arguments.positional[1], "center") : " ";
  if (count_code_points(fill) != 1) fail("The fill character must be exactly one character long");
  if (missing <= 0) return self;
  if (static_cast<size_t>(missing) > kLongestText / 4) throw LimitError{"a text grew past 64 MiB"};
  int64_t width = missing + length(self);
  int64_t left = kAlign == '<' ? 0 : kAlign == '>' ? missing : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += self.text();
  for (int64_t i = left; i < missing; ++i) out += fill;
  return like(render, self, std::move(out));
}

Value zfill(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.size() != 1) fail("zfill() takes exactly one argument");
  int64_t missing = integer_argument(arguments.positional[0], "zfill") - length(self);
  if (missing <= 0) return self;
  if (static_cast<size_t>(missing) > kLongestText / 4) throw LimitError{"a text grew past 64 MiB"};
  const std::string& text = self.text();
  size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  return like(render, self, text.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') + text.substr(sign));
}

template <bool kRight>
Value partition(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.size() != 1) fail("partition() takes exactly one argument");
  const std::string& separator = string_argument(arguments.positional[0], "partition");
  if (separator.empty()) fail("empty separator");
  const std::string& text = self.text();
  Work::spend_search(text.size(), separator.size());
  size_t at = kRight ? text.rfind(separator) : text.find(separator);
  Items items;
  if (at == std::string::npos) {
    items = {like(render, self, ""), like(render, self, ""), like(render, self, "")};
    items[kRight ? 2 : 0] = self;
  } else {
    items = {like(render, self, text.substr(0, at)), like(render, self, separator),
             like(render, self, text.substr(at + separator.size()))};
  }
  return make_list(std::move(items), List::Kind::kTuple);
}

template <bool kPrefix>
Value remove_affix(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.size() != 1) fail("removeprefix and removesuffix take exactly one argument");
  const std::string& affix = string_argument(arguments.positional[0], "removeprefix");
  const std::string& text = self.text();
  if (kPrefix ? !text.starts_with(affix) : !text.ends_with(affix)) return self;
  return like(render, self, kPrefix ? text.substr(affix.size()) : text.substr(0, text.size() - affix.size()));
}

Value expand_tabs(Render& render, const Value& self, Arguments& arguments) {
  arguments.check("expandtabs", 1, {"tabsize"});
  const Value* size = arguments.find(0, "tabsize");
  int64_t step = std::clamp<int64_t>(size == nullptr ? 8 : integer_argument(*size, "expandtabs"), 0, 1000), column = 0;
  std::string out;
  const std::string& text = self.text();
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    char32_t point = next_code_point(text, at);
    int64_t spaces = point == '\t' && step > 0 ? step - column % step : 0;
    out += point == '\t' ? std::string(static_cast<size_t>(spaces), ' ') : text.substr(begin, at - begin);
    column = point == '\n' || point == '\r' ? 0 : column + (point == '\t' ? spaces : 1);
    check_size(out);
  }
  return like(render, self, std::move(out));
}

}  // namespace

const MethodTable& string_methods() {
  static const MethodTable table = {{"strip", strip_method<true, true>},
                                    {"lstrip", strip_method<true, false>},
                                    {"rstrip", strip_method<false, true>},
                                    {"upper", case_method<python_upper>},
                                    {"lower", case_method<python_lower>},
                                    {"title", case_method<title_case>},
                                    {"capitalize", case_method<capitalize>},
                                    {"swapcase", case_method<swap_case>},
                                    {"casefold", case_method<case_fold>},
                                    {"split", split_method<false>},
                                    {"rsplit", split_method<true>},
                                    {"splitlines", splitlines},
                                    {"startswith", affix_method<true>},
                                    {"endswith", affix_method<false>},
                                    {"find", find_text<false, false>},
                                    {"rfind", find_text<true, false>},
                                    {"index", find_text<false, true>},
                                    {"rindex", find_text<true, true>},
                                    {"count", count_text},
                                    {"replace", replace_method},
                                    {"join", join_method},
                                    {"format", format_method},
                                    {"format_map", format_map},
                                    {"isdigit", every_character<is_decimal>},
                                    {"isdecimal", every_character<is_decimal>},
                                    {"isnumeric", every_character<is_number>},
                                    {"isalpha", every_character<is_letter>},
                                    {"isalnum", every_character<is_alphanumeric>},
                                    {"isspace", every_character<is_python_space>},
                                    {"isascii", only_ascii},
                                    {"islower", whole_text<all_lower>},
                                    {"isupper", whole_text<all_upper>},
                                    {"istitle", whole_text<is_title>},
                                    {"isidentifier", whole_text<is_identifier>},
                                    {"center", pad_method<'^'>},
                                    {"ljust", pad_method<'<'>},
                                    {"rjust", pad_method<'>'>},
                                    {"zfill", zfill},
                                    {"partition", partition<false>},
                                    {"rpartition", partition<true>},
                                    {"removeprefix", remove_affix<true>},
                                    {"removesuffix", remove_affix<false>},
                                    {"expandtabs", expand_tabs}};
  return table;
}

}  // namespace masbak::models::jinja
