#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <unordered_set>

#include "base/located_json.h"
#include "base/text.h"

namespace masbak::base {
namespace {

constexpr size_t kMaxNodes = 200'000;

bool all_of(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

std::string_view without_sign(std::string_view text) {
  return !text.empty() && (text[0] == '+' || text[0] == '-') ? text.substr(1) : text;
}

constexpr std::string_view kDigits = "0123456789";

bool is_core_null(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

bool is_core_decimal(std::string_view text) { return all_of(without_sign(text), kDigits); }

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?   (YAML 1.2.2, section 10.3.2)
bool is_core_float(std::string_view text) {
  text = without_sign(text);
  const size_t exponent = text.find_first_of("eE");
  if (exponent != std::string_view::npos) {
    if (!is_core_decimal(text.substr(exponent + 1))) return false;
    text = text.substr(0, exponent);
  }
  const size_t point = text.find('.');
  if (point == std::string_view::npos) return all_of(text, kDigits);
  const std::string_view whole = text.substr(0, point), fraction = text.substr(point + 1);
  if (whole.empty()) return all_of(fraction, kDigits);
  return all_of(whole, kDigits) && (fraction.empty() || all_of(fraction, kDigits));
}

bool is_core_not_finite(std::string_view text) {
  static const std::unordered_set<std::string_view> kNames = {".inf", ".Inf", ".INF"};
  return kNames.contains(without_sign(text)) || text == ".nan" || text == ".NaN" || text == ".NAN";
}

std::string hex_byte(std::string_view text, size_t at) {
  char hex[8];
  std::snprintf(hex, sizeof hex, "0x%02x", static_cast<unsigned char>(text[at]));
  return hex;
}

int line_at(std::string_view text, size_t at) {
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

class Converter {
 public:
  Converter(std::string_view text, const std::string& file) : text_(text), file_(file) {}
  LocatedJson take() { return std::move(document_); }

  void convert_root(const YAML::Node& root) {
    document_.lines[""] = line_of(root);
    document_.value = convert(root, "", 0);
  }

 private:
  static int line_of(const YAML::Node& node) { return std::max(node.Mark().line, 0) + 1; }

  [[noreturn]] void fail(const std::string& message, const YAML::Node& node) const {
    fail_input(message, {.file = file_, .line = line_of(node)});
  }

  Json convert(const YAML::Node& node, const std::string& pointer, int depth) {
    // Aliases can multiply a small file without end, or make it contain itself.
    if (++nodes_ > kMaxNodes) fail("expected at most 200000 values, found more; aliases may repeat each other", node);
    if (depth > kMaxDocumentDepth) {
      fail("expected at most " + std::to_string(kMaxDocumentDepth) + " nested levels, found more", node);
    }
    switch (node.Type()) {
      case YAML::NodeType::Scalar: return convert_scalar(node);
      case YAML::NodeType::Sequence: return convert_sequence(node, pointer, depth);
      case YAML::NodeType::Map: return convert_mapping(node, pointer, depth);
      default: return nullptr;
    }
  }

  Json convert_sequence(const YAML::Node& node, const std::string& pointer, int depth) {
    Json list = Json::array();
    for (const YAML::Node& item : node) {
      const std::string at = pointer + "/" + std::to_string(list.size());
      document_.lines[at] = line_of(item);
      list.push_back(convert(item, at, depth + 1));
    }
    return list;
  }

  Json convert_mapping(const YAML::Node& node, const std::string& pointer, int depth) {
    Json mapping = Json::object();
    auto& entries = mapping.get_ref<Json::object_t&>();
    std::unordered_set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) fail("expected a name as key, found a list, a mapping or nothing", entry.first);
      const std::string key = entry.first.Scalar();
      if (!seen.insert(key).second) {
        fail_input("the key \"" + key + "\" appears twice in one mapping; keep one of them",
                   {.file = file_, .line = line_of(entry.first), .field = key});
      }
      const std::string at = pointer_append(pointer, key);
      document_.lines[at] = line_of(entry.first);
      entries.emplace_back(key, convert(entry.second, at, depth + 1));
    }
    return mapping;
  }

  Json convert_scalar(const YAML::Node& node) const {
    const std::string& text = node.Scalar();
    const std::string& tag = node.Tag();
    const auto tagged = [&tag](const char* name) { return tag == std::string("tag:yaml.org,2002:") + name; };
    // yaml-cpp tags a plain scalar "?" and a quoted one "!".
    if (tag == "!" || tagged("str")) {
      check_closed(node);
      return text;
    }
    if (tag == "?" || tag.empty()) return resolve_plain(text, node);
    Json value = resolve_plain(text, node);
    if (tagged("null") && value.is_null()) return value;
    if (tagged("bool") && value.is_boolean()) return value;
    if (tagged("int") && value.is_number_integer()) return value;
    if (tagged("float") && value.is_number()) return value.get<double>();
    fail("expected a value of one of the types null, bool, int, float, str, found \"" + text + "\" with the tag " + tag,
         node);
  }

  // yaml-cpp takes a quote that is never closed for text up to the end of the file.
  void check_closed(const YAML::Node& node) const {
    auto at = static_cast<size_t>(std::max(node.Mark().pos, 0));
    if (text_.starts_with("\xef\xbb\xbf")) at += 3;  // its positions leave the byte order mark out
    if (at >= text_.size() || (text_[at] != '"' && text_[at] != '\'')) return;
    const char quote = text_[at];
    for (++at; at < text_.size(); ++at) {
      if (quote == '"' && text_[at] == '\\') {
        ++at;
      } else if (text_[at] == quote) {
        if (quote == '"' || at + 1 == text_.size() || text_[at + 1] != quote) return;
        ++at;
      }
    }
    fail(std::string("expected the quote ") + quote + " that opens here to be closed, found the end of the file", node);
  }

  Json resolve_plain(const std::string& text, const YAML::Node& node) const {
    if (is_core_null(text)) return nullptr;
    if (text == "true" || text == "True" || text == "TRUE") return true;
    if (text == "false" || text == "False" || text == "FALSE") return false;
    if (is_core_decimal(text)) return integer(text[0] == '+' ? text.substr(1) : text, 10, text, node);
    const std::string_view prefix = std::string_view(text).substr(0, 2),
                           rest = std::string_view(text).substr(prefix.size());
    if (prefix == "0o" && all_of(rest, "01234567")) return integer(std::string(rest), 8, text, node);
    if (prefix == "0x" && all_of(rest, "0123456789abcdefABCDEF")) return integer(std::string(rest), 16, text, node);
    if (is_core_not_finite(text)) fail("expected a finite number, found " + text, node);
    if (is_core_float(text)) return floating(text, node);
    return text;
  }

  Json integer(const std::string& digits, int base, const std::string& text, const YAML::Node& node) const {
    int64_t value = 0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (fault != std::errc() || end != digits.data() + digits.size()) {
      fail("expected an integer of at most 64 bits, found " + text, node);
    }
    return value;
  }

  Json floating(const std::string& text, const YAML::Node& node) const {
    double value = 0;
    const char* begin = text.data() + (text[0] == '+' ? 1 : 0);
    const auto [end, fault] = std::from_chars(begin, text.data() + text.size(), value);
    if (fault != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
      fail("expected a number that a double can hold, found " + text, node);
    }
    return value;
  }

  std::string_view text_;
  const std::string& file_;
  LocatedJson document_;
  size_t nodes_ = 0;
};

// What yaml-cpp would swallow or misread: bytes that are not UTF-8, and control characters (it takes
// 0x04 for the end of the file).
void check_characters(std::string_view text, const std::string& file) {
  const size_t invalid = find_invalid_utf8(text);
  if (invalid != std::string_view::npos) {
    fail_input("expected UTF-8 text, found the byte " + hex_byte(text, invalid) + "; save the file as UTF-8",
               {.file = file, .line = line_at(text, invalid)});
  }
  const auto control = std::find_if(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f;
  });
  if (control != text.end()) {
    const auto at = static_cast<size_t>(control - text.begin());
    fail_input("expected text, found the control character " + hex_byte(text, at) + "; remove it",
               {.file = file, .line = line_at(text, at)});
  }
}

}  // namespace

LocatedJson parse_located_yaml(std::string_view text, const std::string& file) {
  check_characters(text, file);
  Converter converter(text, file);
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.size() > 1) {
      fail_input("expected one YAML document, found a second one after \"---\"; remove it",
                 {.file = file, .line = std::max(documents[1].Mark().line, 0) + 1});
    }
    if (documents.empty()) return {};
    converter.convert_root(documents[0]);
  } catch (const YAML::Exception& fault) {
    fail_input("expected valid YAML, found a fault: " + fault.msg,
               {.file = file, .line = fault.mark.is_null() ? 0 : fault.mark.line + 1});
  }
  return converter.take();
}

}  // namespace masbak::base
