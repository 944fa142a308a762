// str() and repr() of values, as Python writes them.
#include <array>
#include <charconv>
#include <cmath>

#include "models/tokenizer/jinja/value.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

void append_hex(std::string& out, char32_t point, int digits) {
  static const char kDigits[] = "0123456789abcdef";
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) out += kDigits[point >> shift & 15];
}

// Characters that repr() writes as escapes: controls, separators and unassigned or private ones.
bool is_printable(char32_t point) {
  if (point < 0x7F) return point >= 0x20;
  if (point < 0xA1 || point == 0xAD) return false;
  if (is_white_space(point) || (point >= 0x200B && point <= 0x200F) || (point >= 0x202A && point <= 0x202E))
    return false;
  if ((point >= 0x2060 && point <= 0x206F) || point == 0xFEFF || (point >= 0xE000 && point <= 0xF8FF)) return false;
  return point < 0xE0000;
}

void append_string_repr(std::string& out, std::string_view text) {
  bool single = text.find('\'') != std::string_view::npos;
  bool doubled = text.find('"') != std::string_view::npos;
  char quote = single && !doubled ? '"' : '\'';
  out += quote;
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    char32_t point = next_code_point(text, at);
    if (point == static_cast<char32_t>(quote) || point == '\\') {
      out += '\\';
      out += static_cast<char>(point);
    } else if (point == '\n') {
      out += "\\n";
    } else if (point == '\r') {
      out += "\\r";
    } else if (point == '\t') {
      out += "\\t";
    } else if (is_printable(point)) {
      out.append(text.substr(begin, at - begin));
    } else {
      out += point < 0x100 ? "\\x" : point < 0x10000 ? "\\u" : "\\U";
      append_hex(out, point, point < 0x100 ? 2 : point < 0x10000 ? 4 : 8);
    }
  }
  out += quote;
}

void append_joined(std::string& out, const Items& items, int depth) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(out, items[i], depth + 1);
  }
}

void append_list_repr(std::string& out, const List& list, int depth) {
  switch (list.kind) {
    case List::Kind::kList:
      out += '[';
      append_joined(out, list.items, depth);
      out += ']';
      break;
    case List::Kind::kTuple:
      out += '(';
      append_joined(out, list.items, depth);
      out += list.items.size() == 1 ? ",)" : ")";
      break;
    case List::Kind::kGenerator: out += "<generator object>"; break;
    case List::Kind::kRange: {
      // Kept as its items; the step is what the first two differ by.
      int64_t first = list.items.empty() ? 0 : list.items[0].as_integer();
      int64_t step = list.items.size() > 1 ? list.items[1].as_integer() - first : 1;
      int64_t stop = list.items.empty() ? 0 : list.items.back().as_integer() + step;
      out += "range(" + std::to_string(first) + ", " + std::to_string(stop);
      out += step == 1 ? ")" : ", " + std::to_string(step) + ")";
      break;
    }
    default:
      out += list.kind == List::Kind::kKeys     ? "dict_keys(["
             : list.kind == List::Kind::kValues ? "dict_values(["
                                                : "dict_items([";
      append_joined(out, list.items, depth);
      out += "])";
  }
}

}  // namespace

std::string double_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer;
  auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific).ptr;
  std::string text(buffer.data(), end);
  size_t e = text.find('e');
  int exponent = std::stoi(text.substr(e + 1));
  std::string sign = text[0] == '-' ? "-" : "";
  std::string digits;
  for (char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  if (exponent < -4 || exponent >= 16) {
    std::string power = std::to_string(std::abs(exponent));
    if (power.size() < 2) power = "0" + power;
    return sign + digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "") +
           (exponent < 0 ? "e-" : "e+") + power;
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() < whole) digits.append(whole - digits.size(), '0');
  std::string fraction = digits.substr(whole);
  return sign + digits.substr(0, whole) + "." + (fraction.empty() ? "0" : fraction);
}

void append_repr(std::string& out, const Value& value, int depth) {
  if (depth > kDeepestValue) throw LimitError{"a value nests more than " + std::to_string(kDeepestValue) + " deep"};
  check_size(out);
  switch (value.type()) {
    case Value::Type::kUndefined: out += "Undefined"; break;
    case Value::Type::kNone: out += "None"; break;
    case Value::Type::kBool: out += value.as_integer() != 0 ? "True" : "False"; break;
    case Value::Type::kInt: out += std::to_string(value.as_integer()); break;
    case Value::Type::kFloat: out += double_repr(value.as_double()); break;
    case Value::Type::kString:
      if (value.is_markup()) out += "Markup(";
      append_string_repr(out, value.text());
      if (value.is_markup()) out += ')';
      break;
    case Value::Type::kList: append_list_repr(out, value.list(), depth); break;
    case Value::Type::kDict: {
      out += '{';
      bool first = true;
      for (const auto& [key, item] : value.dict().items) {
        if (!first) out += ", ";
        first = false;
        append_repr(out, key, depth + 1);
        out += ": ";
        append_repr(out, item, depth + 1);
      }
      out += '}';
      break;
    }
    case Value::Type::kNamespace: {
      out += "<Namespace {";
      bool first = true;
      for (const auto& [key, item] : value.get<Namespace>().items) {
        if (!first) out += ", ";
        first = false;
        append_string_repr(out, key);
        out += ": ";
        append_repr(out, item, depth + 1);
      }
      out += "}>";
      break;
    }
    case Value::Type::kLoop: out += "<LoopContext>"; break;
    case Value::Type::kCallable: out += "<function>"; break;
    case Value::Type::kBigInt: out += value.text(); break;
  }
}

std::string to_repr(const Value& value, int depth) {
  std::string out;
  append_repr(out, value, depth);
  return out;
}

std::string to_text(const Value& value) {
  if (value.is_string()) return value.text();
  if (value.is_undefined()) return "";
  return to_repr(value);
}

std::string type_name(const Value& value) {
  switch (value.type()) {
    case Value::Type::kUndefined: return "Undefined";
    case Value::Type::kNone: return "NoneType";
    case Value::Type::kBool: return "bool";
    case Value::Type::kInt:
    case Value::Type::kBigInt: return "int";
    case Value::Type::kFloat: return "float";
    case Value::Type::kString: return value.is_markup() ? "Markup" : "str";
    case Value::Type::kDict: return "dict";
    case Value::Type::kNamespace: return "Namespace";
    case Value::Type::kLoop: return "LoopContext";
    case Value::Type::kCallable: return "function";
    case Value::Type::kList: break;
  }
  static const char* const kNames[] = {"list", "tuple", "generator", "dict_keys", "dict_values", "dict_items", "range"};
  return kNames[static_cast<int>(value.list().kind)];
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace masbak::models::jinja
