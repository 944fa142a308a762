// Formatting: the % operator, str.format, and strftime.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "models/tokenizer/jinja/render.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

constexpr int64_t kWidest = 10'000;

// [[fill]align][sign][#][0][width][,][.precision][type], the mini-language of Python's format().
struct Spec {
  std::string fill = " ";
  char align = '\0', sign = '-', type = '\0';
  bool alternate = false, comma = false;
  int64_t width = 0, precision = -1;
};

int64_t digits(std::string_view text, size_t& at) {
  int64_t number = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    number = number * 10 + (text[at++] - '0');
    if (number > kWidest) fail("a width or precision of more than " + std::to_string(kWidest));
  }
  return number;
}

std::string pad(std::string text, const Spec& spec, char usual) {
  int64_t missing = spec.width - static_cast<int64_t>(count_code_points(text));
  if (missing <= 0) return text;
  char align = spec.align != '\0' ? spec.align : usual;
  int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string out;
  size_t sign = align == '=' && !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  out += text.substr(0, sign);
  for (int64_t i = 0; i < left; ++i) out += spec.fill;
  out += text.substr(sign);
  for (int64_t i = left; i < missing; ++i) out += spec.fill;
  return out;
}

std::string with_commas(const std::string& text) {
  size_t end = text.find_first_of(".e");
  if (end == std::string::npos) end = text.size();
  size_t begin = text[0] == '-' || text[0] == '+';
  std::string out = text.substr(0, begin);
  for (size_t i = begin; i < end; ++i) {
    if (i > begin && (end - i) % 3 == 0) out += ',';
    out += text[i];
  }
  return out + text.substr(end);
}

std::string number_text(const Value& value, const Spec& spec) {
  char type = spec.type;
  std::string text;
  if (value.is_integer() && (type == '\0' || type == 'd' || type == 'x' || type == 'X' || type == 'o' || type == 'b')) {
    int64_t number = value.as_integer();
    uint64_t size = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    uint64_t base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    do text.insert(text.begin(), (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[size % base]);
    while ((size /= base) > 0);
    if (spec.alternate && base != 10) text = std::string("0") + type + text;
    if (number < 0) text = "-" + text;
  } else if (type == '\0' && spec.precision < 0) {
    text = double_repr(value.as_double());
  } else {
    double number = value.as_double() * (type == '%' ? 100 : 1);
    char c = type == '\0' ? 'g' : type == '%' ? 'f' : type;
    if (std::string_view("eEfFgG").find(c) == std::string_view::npos) {
      fail(std::string("Unknown format code '") + c + "' for object of type '" + type_name(value) + "'");
    }
    char pattern[] = {'%', '.', '*', c, '\0'};
    int precision = static_cast<int>(spec.precision < 0 ? 6 : std::min<int64_t>(spec.precision, 400));
    char buffer[900];
    std::snprintf(buffer, sizeof buffer, pattern, precision, number);
    text = buffer;
    if (type == '%') text += '%';
  }
  if (spec.sign != '-' && text[0] != '-') text = spec.sign + text;
  return spec.comma ? with_commas(text) : text;
}

std::string cut(const std::string& text, int64_t characters) {
  size_t at = 0;
  for (int64_t i = 0; characters >= 0 && i < characters && at < text.size(); ++i) next_code_point(text, at);
  return characters < 0 ? text : text.substr(0, at);
}

Spec read_spec(std::string_view text) {
  Spec spec;
  size_t at = 0;
  auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  if (!text.empty()) {
    size_t next = 0;
    next_code_point(text, next);
    if (next < text.size() && is_align(text[next])) {
      spec.fill = text.substr(0, next);
      spec.align = text[next];
      at = next + 1;
    } else if (is_align(text[0])) {
      spec.align = text[at++];
    }
  }
  if (at < text.size() && (text[at] == '+' || text[at] == '-' || text[at] == ' ')) spec.sign = text[at++];
  if (at < text.size() && text[at] == '#') spec.alternate = text[at++] != '\0';
  if (at < text.size() && text[at] == '0') {
    if (spec.align == '\0') {
      spec.align = '=';
      spec.fill = "0";
    }
    ++at;
  }
  spec.width = digits(text, at);
  if (at < text.size() && text[at] == ',') spec.comma = text[at++] == ',';
  if (at < text.size() && text[at] == '.') spec.precision = digits(text, ++at);
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) fail("Invalid format specifier '" + std::string(text) + "'");
  return spec;
}

std::string format_value(const Value& value, std::string_view text) {
  if (text.empty()) return to_text(value);
  Spec spec = read_spec(text);
  if (value.is_number() && !(value.is_bool() && spec.type == 's')) return pad(number_text(value, spec), spec, '>');
  if (!value.is_string()) fail("unsupported format string passed to " + type_name(value) + ".__format__");
  if (spec.type != '\0' && spec.type != 's') {
    fail(std::string("Unknown format code '") + spec.type + "' for object of type 'str'");
  }
  return pad(cut(value.text(), spec.precision), spec, '<');
}

// A replacement field of str.format: its name with .attributes and [elements], !conversion and :spec.
class BraceFormat {
 public:
  BraceFormat(Render& render, const Arguments& arguments) : render_(render), arguments_(arguments) {}

  std::string run(std::string_view format, int depth = 0) {
    if (depth > 2) fail("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < format.size(); ++at) {
      char c = format[at];
      if (c != '{' && c != '}') {
        out += c;
      } else if (at + 1 < format.size() && format[at + 1] == c) {
        out += c;
        ++at;
      } else if (c == '}') {
        fail("Single '}' encountered in format string");
      } else {
        size_t end = closing(format, at + 1);
        out += field(format.substr(at + 1, end - at - 1), depth);
        check_size(out);
        at = end;
      }
    }
    return out;
  }

 private:
  static size_t closing(std::string_view format, size_t at) {
    int open = 1;
    for (; at < format.size(); ++at) {
      if (format[at] == '{') ++open;
      if (format[at] == '}' && --open == 0) return at;
    }
    fail("expected '}' before end of string");
  }

  Value first(std::string_view name) {
    if (name.empty()) name = automatic_ = std::to_string(next_++);
    if (name.find_first_not_of("0123456789") == std::string_view::npos) {
      size_t index = std::stoul(std::string(name.substr(0, 9)));
      if (index < arguments_.positional.size()) return arguments_.positional[index];
      fail("Replacement index " + std::string(name) + " out of range for positional args tuple");
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    fail("'" + std::string(name) + "'");
  }

  Value resolve(std::string_view name) {
    size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = first(name.substr(0, end));
    while (end < name.size()) {
      if (name[end] == '.') {
        size_t next = std::min(name.find_first_of(".[", end + 1), name.size());
        value = render_.attribute(value, std::string(name.substr(end + 1, next - end - 1)));
        end = next;
      } else {
        size_t close = name.find(']', end);
        if (close == std::string_view::npos) fail("Missing ']' in format string");
        std::string key(name.substr(end + 1, close - end - 1));
        bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
        value = render_.item(value, number ? Value::integer(std::stol(key)) : Value::string(key));
        end = close + 1;
      }
    }
    return value;
  }

  std::string field(std::string_view text, int depth) {
    size_t colon = text.find(':');
    std::string spec = colon == std::string_view::npos ? "" : run(text.substr(colon + 1), depth + 1);
    std::string_view name = text.substr(0, colon);
    size_t mark = name.find('!');
    Value value = resolve(name.substr(0, mark));
    if (mark != std::string_view::npos) {
      bool repr = name.substr(mark) == "!r";
      if (!repr && name.substr(mark) != "!s")
        fail("Unknown conversion specifier '" + std::string(name.substr(mark + 1)) + "'");
      value = Value::string(repr ? to_repr(value) : to_text(value));
    }
    return format_value(value, spec);
  }

  Render& render_;
  const Arguments& arguments_;
  std::string automatic_;
  size_t next_ = 0;
};

std::string percent_value(const Value& value, char kind, const Spec& spec) {
  if (kind == 's') return cut(to_text(value), spec.precision);
  if (kind == 'r') return cut(to_repr(value), spec.precision);
  if (kind == 'c' && value.is_string()) return value.text();
  if (!value.is_number()) fail(std::string("%") + kind + " format: a real number is required, not " + type_name(value));
  Spec plain = spec;
  plain.type = kind == 'i' || kind == 'u' ? 'd' : kind;
  if (plain.type == 'd')
    return number_text(value.is_integer() ? value : Value::integer(static_cast<int64_t>(value.as_double())), plain);
  return number_text(value, plain);
}

}  // namespace

std::string percent_format(Render& render, std::string_view format, const Value& arguments) {
  bool several = arguments.is_list() && arguments.list().kind == List::Kind::kTuple;
  size_t used = 0;
  std::string out;
  auto next = [&]() -> Value {
    if (!several) {
      if (used++ == 0) return arguments;
    } else if (used < arguments.list().items.size()) {
      return arguments.list().items[used++];
    }
    fail("not enough arguments for format string");
  };
  for (size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      out += format[at];
      continue;
    }
    std::optional<Value> named;
    if (++at < format.size() && format[at] == '(') {
      size_t close = format.find(')', at);
      if (close == std::string_view::npos) fail("incomplete format key");
      if (!arguments.is_dict()) fail("format requires a mapping");
      named = render.item(arguments, Value::string(std::string(format.substr(at + 1, close - at - 1))));
      at = close + 1;
    }
    Spec spec;
    for (; at < format.size() && std::string_view("-+ 0#").find(format[at]) != std::string_view::npos; ++at) {
      if (format[at] == '-') spec.align = '<';
      if (format[at] == '+' || format[at] == ' ') spec.sign = format[at];
      if (format[at] == '#') spec.alternate = true;
      if (format[at] == '0' && spec.align == '\0') {
        spec.align = '=';
        spec.fill = "0";
      }
    }
    spec.width = digits(format, at);
    if (at < format.size() && format[at] == '.') spec.precision = digits(format, ++at);
    if (at >= format.size()) fail("incomplete format");
    if (format[at] == '%') {
      out += '%';
      continue;
    }
    if (std::string_view("srcdiuxXoeEfFgG").find(format[at]) == std::string_view::npos) {
      fail(std::string("unsupported format character '") + format[at] + "'");
    }
    Value value = named ? *named : next();
    out += pad(percent_value(value, format[at], spec), spec, '>');
    check_size(out);
  }
  if (several && used < arguments.list().items.size()) fail("not all arguments converted during string formatting");
  if (!several && used == 0 && !arguments.is_dict() && !arguments.is_list() && !arguments.is_undefined()) {
    fail("not all arguments converted during string formatting");
  }
  return out;
}

std::string brace_format(Render& render, std::string_view format, const Arguments& arguments) {
  return BraceFormat(render, arguments).run(format);
}

std::string local_time(const std::string& format) {
  auto now = std::chrono::system_clock::now();
  std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() % 1'000'000;
  char digits_text[8];
  std::snprintf(digits_text, sizeof digits_text, "%06d", static_cast<int>(micros));
  std::string pattern;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] == '%' && i + 1 < format.size() &&
        (format[i + 1] == 'f' || format[i + 1] == 'z' || format[i + 1] == 'Z')) {
      if (format[++i] == 'f') pattern += digits_text;  // a time without a zone prints nothing for %z and %Z
    } else {
      pattern += format[i];
      if (format[i] == '%' && i + 1 < format.size()) pattern += format[++i];
    }
  }
  if (pattern.size() > 1000) fail("a time format of more than 1000 characters");
  std::tm local{};
  localtime_r(&seconds, &local);
  char buffer[8192];
  size_t size = std::strftime(buffer, sizeof buffer, pattern.c_str(), &local);
  return std::string(buffer, size);
}

}  // namespace masbak::models::jinja
