// Filters that make a text or a number of one value.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "models/tokenizer/jinja/filters.h"
#include "models/tokenizer/jinja/parser.h"
#include "models/tokenizer/jinja/string_methods.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

Value default_value(Render&, const Value& input, Arguments& arguments) {
  arguments.check("default", 2, {"default_value", "boolean"});
  if (!input.is_undefined() && !(arguments.flag(1, "boolean") && !truth(input))) return input;
  const Value* other = arguments.find(0, "default_value");
  return other == nullptr ? Value::string("") : *other;
}

Value to_json(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("tojson", 4, {"ensure_ascii", "indent", "separators", "sort_keys"});
  const Value* indent = arguments.find(1, "indent");
  bool indented = indent != nullptr && !indent->is_none();
  std::string item = indented ? "," : ", ", key = ": ";
  const Value* separators = arguments.find(2, "separators");
  if (separators != nullptr && !separators->is_none()) {
    Items both = iterate(*separators);
    if (both.size() != 2) fail("tojson: separators must be two strings");
    item = string_argument(both[0], "tojson");
    key = string_argument(both[1], "tojson");
  }
  return render.make_text(to_json_text(input, arguments.flag(0, "ensure_ascii"), indented ? *indent : Value(),
                                       std::move(item), std::move(key), arguments.flag(3, "sort_keys")));
}

Value string_filter(Render& render, const Value& input, Arguments&) {
  return input.is_string() ? input : render.make_text(to_text(input));
}

Value safe(Render& render, const Value& input, Arguments&) { return render.make_text(to_text(input), true); }

Value escape(Render& render, const Value& input, Arguments&) {
  return input.is_markup() ? input : render.make_text(escape_html(to_text(input)), true);
}

Value force_escape(Render& render, const Value& input, Arguments&) {
  return render.make_text(escape_html(to_text(input)), true);
}

Value trim(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("trim", 1, {"chars"});
  const Value* chars = arguments.find(0, "chars");
  const std::string* unwanted = chars == nullptr || chars->is_none() ? nullptr : &string_argument(*chars, "trim");
  if (input.is_string()) {
    const std::string_view kept = strip(input.text(), unwanted, true, true);
    return kept.size() == input.text().size() ? input : render.make_text(std::string(kept), input.is_markup());
  }
  const std::string text = to_text(input);
  return render.make_text(std::string(strip(text, unwanted, true, true)));
}

template <std::string (*kWork)(std::string_view)>
Value case_filter(Render& render, const Value& input, Arguments&) {
  return render.make_text(kWork(to_text(input)), input.is_markup());
}

// jinja2's title: a word begins behind white space, a hyphen or an opening bracket.
std::string title_filter(std::string_view text) {
  std::string out;
  bool start = true;
  for (size_t at = 0; at < text.size();) {
    char32_t point = next_code_point(text, at);
    if (start) {
      append_upper(out, point);
    } else {
      append_lower(out, point);
    }
    start = is_python_space(point) ||
            (point < 0x80 && std::string_view("-({[<").find(static_cast<char>(point)) != std::string_view::npos);
  }
  return out;
}

Value replace_filter(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("replace", 3, {"old", "new", "count"});
  const Value *old = arguments.find(0, "old"), *now = arguments.find(1, "new"), *count = arguments.find(2, "count");
  if (old == nullptr || now == nullptr) fail("replace() missing required arguments 'old' and 'new'");
  int64_t times = count == nullptr || count->is_none() ? -1 : integer_argument(*count, "replace");
  return render.make_text(replace(to_text(input), to_text(*old), to_text(*now), times));
}

Value indent(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("indent", 3, {"width", "first", "blank"});
  const Value* width = arguments.find(0, "width");
  std::string step(4, ' ');
  if (width != nullptr) {
    step =
        width->is_string()
            ? width->text()
            : std::string(static_cast<size_t>(std::clamp<int64_t>(integer_argument(*width, "indent"), 0, 10'000)), ' ');
  }
  bool first = arguments.flag(1, "first"), blank = arguments.flag(2, "blank");
  std::string text = string_argument(input, "indent") + "\n";
  Arguments none;
  bool unsafe = false;
  Items lines = iterate(find_method(input, "splitlines", unsafe)(render, Value::string(text), none));
  std::string out = first ? step : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out += '\n';
      if (blank || !lines[i].text().empty()) out += step;
    }
    out += lines[i].text();
    check_size(out);
  }
  return render.make_text(std::move(out), input.is_markup());
}

Value format_filter(Render& render, const Value& input, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    fail("can't handle positional and keyword arguments at the same time");
  }
  Value values = make_list(arguments.positional, List::Kind::kTuple);
  if (!arguments.named.empty()) {
    std::vector<std::pair<Value, Value>> items;
    for (auto& [name, value] : arguments.named) items.emplace_back(Value::string(name), value);
    values = make_dict(std::move(items));
  }
  return render.make_text(percent_format(render, to_text(input), values), input.is_markup());
}

Value center(Render& render, const Value& input, Arguments& arguments) {
  const Value* width = arguments.find(0, "width");
  Value text = string_filter(render, input, arguments);
  Arguments inner;
  inner.positional.push_back(width == nullptr ? Value::integer(80) : *width);
  bool unsafe = false;
  return find_method(text, "center", unsafe)(render, text, inner);
}

Value truncate(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("truncate", 4, {"length", "killwords", "end", "leeway"});
  const Value *size = arguments.find(0, "length"), *end_value = arguments.find(2, "end"),
              *leeway = arguments.find(3, "leeway");
  int64_t most = size == nullptr ? 255 : integer_argument(*size, "truncate");
  std::string end = end_value == nullptr ? "..." : string_argument(*end_value, "truncate");
  int64_t extra = leeway == nullptr || leeway->is_none() ? 5 : integer_argument(*leeway, "truncate");
  int64_t end_size = static_cast<int64_t>(count_code_points(end));
  if (most < end_size) fail("expected length >= " + std::to_string(end_size) + ", got " + std::to_string(most));
  if (length(input) <= most + extra) return input;
  const std::string& text = string_argument(input, "truncate");
  size_t at = 0;
  for (int64_t i = 0; i < most - end_size; ++i) next_code_point(text, at);
  std::string kept = text.substr(0, at);
  if (!arguments.flag(1, "killwords")) kept = kept.substr(0, kept.rfind(' '));
  return render.make_text(kept + end);
}

Value word_count(Render& render, const Value& input, Arguments&) {
  std::string text = to_text(input);
  render.spend_bytes(text.size());
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    bool word = is_word(next_code_point(text, at));
    words += word && !inside;
    inside = word;
  }
  return Value::integer(words);
}

Value url_encode(Render& render, const Value& input, Arguments&) {
  auto quoted = [](const std::string& text, bool in_query) {
    static const char kDigits[] = "0123456789ABCDEF";
    std::string out;
    for (char c : text) {
      unsigned char byte = static_cast<unsigned char>(c);
      bool plain = byte < 0x80 && (std::isalnum(byte) || std::string_view("_.-~").find(c) != std::string_view::npos ||
                                   (!in_query && c == '/'));
      if (plain) {
        out += c;
      } else if (in_query && c == ' ') {
        out += '+';
      } else {
        out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
      }
    }
    return out;
  };
  if (!input.is_dict() && !input.is_list()) return render.make_text(quoted(to_text(input), false));
  Arguments none;
  bool unsafe = false;
  Items pairs = input.is_dict() ? iterate(find_method(input, "items", unsafe)(render, input, none)) : iterate(input);
  std::string out;
  for (const Value& pair : pairs) {
    Items both = iterate(pair);
    if (both.size() != 2) fail("urlencode expects pairs");
    out += (out.empty() ? "" : "&") + quoted(to_text(both[0]), true) + "=" + quoted(to_text(both[1]), true);
  }
  return render.make_text(std::move(out));
}

// int(text, base) of Python; false if the text is no integer.
bool parse_integer(std::string_view text, int base, int64_t& number) {
  text = strip(text, nullptr, true, true);
  std::string digits(text);
  digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  if (base == 10 ? digits.find_first_of("xXoObB") != std::string::npos : false) return false;
  size_t sign = !digits.empty() && (digits[0] == '-' || digits[0] == '+');
  if (base != 10 && digits.size() > sign + 1 && digits[sign] == '0' &&
      !std::isdigit(static_cast<unsigned char>(digits[sign + 1]))) {
    digits.erase(sign, 2);
  }
  if (digits.size() == sign) return false;
  char* end = nullptr;
  errno = 0;
  number = std::strtoll(digits.c_str(), &end, base);
  if (errno == ERANGE) fail("the integer " + digits + " is past 64 bits");
  return *end == '\0' && !std::isspace(static_cast<unsigned char>(digits[0]));
}

Value to_integer(Render&, const Value& input, Arguments& arguments) {
  arguments.check("int", 2, {"default", "base"});
  const Value *other = arguments.find(0, "default"), *base = arguments.find(1, "base");
  int64_t number = 0;
  if (input.is_undefined()) fail(input.text());
  if (input.is_integer()) return Value::integer(input.as_integer());
  int64_t radix = base == nullptr ? 10 : integer_argument(*base, "int");
  if (radix != 0 && (radix < 2 || radix > 36)) fail("int() base must be >= 2 and <= 36, or 0");
  if (input.is_string() && parse_integer(input.text(), static_cast<int>(radix), number)) return Value::integer(number);
  double real = 0;
  if (number_of(input, real) && std::isfinite(real) && std::abs(real) < 9.2e18) {
    return Value::integer(static_cast<int64_t>(real));
  }
  return other == nullptr ? Value::integer(0) : *other;
}

Value to_float(Render&, const Value& input, Arguments& arguments) {
  arguments.check("float", 1, {"default"});
  if (input.is_undefined()) fail(input.text());
  const Value* other = arguments.find(0, "default");
  double number = 0;
  if (number_of(input, number)) return Value::number(number);
  return other == nullptr ? Value::number(0.0) : *other;
}

Value round_filter(Render&, const Value& input, Arguments& arguments) {
  arguments.check("round", 2, {"precision", "method"});
  const Value *precision = arguments.find(0, "precision"), *method = arguments.find(1, "method");
  int64_t places = precision == nullptr ? 0 : integer_argument(*precision, "round");
  std::string how = method == nullptr ? "common" : string_argument(*method, "round");
  if (input.is_undefined()) fail(input.text());
  if (!input.is_number()) fail("type " + type_name(input) + " doesn't define __round__ method");
  double power = std::pow(10.0, static_cast<double>(places));
  if (how == "ceil") return Value::number(std::ceil(input.as_double() * power) / power);
  if (how == "floor") return Value::number(std::floor(input.as_double() * power) / power);
  if (how != "common") fail("method must be common, ceil or floor");
  if (input.is_integer() && places >= 0) return Value::integer(input.as_integer());
  if (places < 0) {
    double scaled = std::nearbyint(input.as_double() * power) / power;
    return input.is_integer() ? Value::integer(static_cast<int64_t>(scaled)) : Value::number(scaled);
  }
  // Decimal output rounds the exact value, half to even, as Python's round does.
  char buffer[800];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(std::min<int64_t>(places, 320)), input.as_double());
  return Value::number(std::strtod(buffer, nullptr));
}

Value absolute(Render&, const Value& input, Arguments&) {
  if (input.is_undefined()) fail(input.text());
  if (!input.is_number()) fail("bad operand type for abs(): '" + type_name(input) + "'");
  if (input.is_integer()) return Value::integer(std::abs(input.as_integer()));
  return Value::number(std::abs(input.as_double()));
}

}  // namespace

const FilterTable& text_filters() {
  static const FilterTable table = {{"default", default_value},
                                    {"d", default_value},
                                    {"tojson", to_json},
                                    {"string", string_filter},
                                    {"safe", safe},
                                    {"escape", escape},
                                    {"e", escape},
                                    {"forceescape", force_escape},
                                    {"trim", trim},
                                    {"upper", case_filter<python_upper>},
                                    {"lower", case_filter<python_lower>},
                                    {"capitalize", case_filter<capitalize>},
                                    {"title", case_filter<title_filter>},
                                    {"replace", replace_filter},
                                    {"indent", indent},
                                    {"format", format_filter},
                                    {"center", center},
                                    {"truncate", truncate},
                                    {"wordcount", word_count},
                                    {"urlencode", url_encode},
                                    {"int", to_integer},
                                    {"float", to_float},
                                    {"round", round_filter},
                                    {"abs", absolute}};
  return table;
}

Filter find_filter(std::string_view name) {
  for (const FilterTable* table : {&text_filters(), &layout_filters(), &sequence_filters(), &selection_filters()}) {
    if (auto found = table->find(name); found != table->end()) return found->second;
  }
  return nullptr;
}

}  // namespace masbak::models::jinja
