#include "models/tokenizer/jinja/json_reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

// The texts that most strings of conversations and tools are. Values of them are shared by all threads.
constexpr std::string_view kFrequent[] = {"role",
                                          "content",
                                          "messages",
                                          "user",
                                          "assistant",
                                          "system",
                                          "tool",
                                          "developer",
                                          "name",
                                          "type",
                                          "function",
                                          "arguments",
                                          "id",
                                          "tools",
                                          "tool_calls",
                                          "tool_call_id",
                                          "reasoning_content",
                                          "thinking",
                                          "parameters",
                                          "properties",
                                          "required",
                                          "description",
                                          "object",
                                          "string",
                                          "integer",
                                          "number",
                                          "boolean",
                                          "array",
                                          "enum",
                                          "items",
                                          "default",
                                          "text",
                                          "image",
                                          "documents",
                                          "title",
                                          "add_generation_prompt",
                                          "strict",
                                          "minimum",
                                          "maximum",
                                          "format",
                                          "enable_thinking",
                                          "additionalProperties",
                                          "return",
                                          "json",
                                          "query",
                                          "",
                                          "reasoning",
                                          "continue_final_message"};

class FrequentTexts {
 public:
  // Never freed: all threads read it until the very end.
  static const FrequentTexts& instance() {
    static const FrequentTexts* texts = new FrequentTexts;
    return *texts;
  }

  const Value* find(std::string_view text) const {
    for (size_t i = place(text); !table_[i].is_none(); i = (i + 1) % kPlaces) {
      if (table_[i].text() == text) return &table_[i];
    }
    return nullptr;
  }

  static constexpr size_t kLongest = 22;

 private:
  static constexpr size_t kPlaces = 256;

  FrequentTexts() {
    for (std::string_view text : kFrequent) {
      size_t i = place(text);
      while (!table_[i].is_none()) i = (i + 1) % kPlaces;
      table_[i] = Value::string(std::string(text));
      pins_.pin(table_[i]);
    }
  }

  static size_t place(std::string_view text) {
    if (text.empty()) return 0;
    const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(text[i])); };
    return (byte(0) * 7 + byte(text.size() - 1) * 31 + text.size() * 13) % kPlaces;
  }

  Pins pins_;
  std::array<Value, kPlaces> table_;
};

// Number of bytes at the front of `text` that a JSON string holds as they are; with `ascii` only those of ASCII.
size_t plain_prefix(std::string_view text, bool ascii) {
  constexpr uint64_t kOnes = 0x0101010101010101ull, kHigh = kOnes << 7;
  const auto zero_bytes = [](uint64_t word) { return (word - kOnes) & ~word & kHigh; };
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    uint64_t found = (word - kOnes * 0x20) & ~word & kHigh;
    found |= zero_bytes(word ^ kOnes * '"') | zero_bytes(word ^ kOnes * '\\');
    if (ascii) found |= (word & kHigh) | zero_bytes(word ^ kOnes * 0x7F);
    // The lowest bit is that of the first byte found; those above it may be there by a borrow.
    if (found != 0) return at + static_cast<size_t>(std::countr_zero(found)) / 8;
  }
  for (; at < text.size(); ++at) {
    const unsigned char c = static_cast<unsigned char>(text[at]);
    if (c < 0x20 || c == '"' || c == '\\' || (ascii && c >= 0x7F)) break;
  }
  return at;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  std::optional<Value> run() {
    Value value;
    skip_space();
    if (!read(value, 0)) return std::nullopt;
    skip_space();
    if (at_ != end_) return std::nullopt;
    return value;
  }

 private:
  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
  }

  bool skip(char sign) {
    if (at_ == end_ || *at_ != sign) return false;
    ++at_;
    return true;
  }

  bool word(std::string_view text, Value value, Value& out) {
    if (!std::string_view(at_, static_cast<size_t>(end_ - at_)).starts_with(text)) return false;
    at_ += text.size();
    out = std::move(value);
    return true;
  }

  bool read(Value& out, int depth) {
    if (at_ == end_) return false;
    switch (*at_) {
      case '{': return object(out, depth);
      case '[': return array(out, depth);
      case '"': return string(out);
      case 't': return word("true", Value::boolean(true), out);
      case 'f': return word("false", Value::boolean(false), out);
      case 'n': return word("null", Value(), out);
      default: return number(out);
    }
  }

  bool object(Value& out, int depth) {
    check_value_depth(depth);
    ++at_;
    std::vector<std::pair<Value, Value>> items;
    skip_space();
    if (!skip('}')) {
      items.reserve(4);  // most have two to four
      do {
        Value key;
        skip_space();
        if (at_ == end_ || *at_ != '"' || !string(key)) return false;
        skip_space();
        if (!skip(':')) return false;
        skip_space();
        Value value;
        if (!read(value, depth + 1)) return false;
        items.emplace_back(std::move(key), std::move(value));
        skip_space();
      } while (skip(','));
      if (!skip('}')) return false;
    }
    const size_t count = items.size();
    out = make_dict(std::move(items));
    return out.dict().items.size() == count;  // or a key was there twice
  }

  bool array(Value& out, int depth) {
    check_value_depth(depth);
    ++at_;
    Items items;
    skip_space();
    if (!skip(']')) {
      do {
        skip_space();
        items.emplace_back();
        if (!read(items.back(), depth + 1)) return false;
        skip_space();
      } while (skip(','));
      if (!skip(']')) return false;
    }
    out = make_list(std::move(items));
    return true;
  }

  size_t plain() const { return plain_prefix({at_, static_cast<size_t>(end_ - at_)}, false); }

  bool string(Value& out) {
    ++at_;
    const std::string_view text(at_, plain());
    if (text.data() + text.size() == end_) return false;
    if (text.data()[text.size()] != '"') return string_with_escapes(out);
    at_ += text.size() + 1;
    const Value* known = text.size() <= FrequentTexts::kLongest ? frequent_.find(text) : nullptr;
    out = known != nullptr ? *known : Value::string(std::string(text));
    return true;
  }

  bool string_with_escapes(Value& out) {
    std::string text;
    while (true) {
      const size_t count = plain();
      text.append(at_, count);
      at_ += count;
      if (at_ == end_ || static_cast<unsigned char>(*at_) < 0x20) return false;
      if (*at_++ == '"') break;
      if (at_ == end_ || !escape(text)) return false;
    }
    out = Value::string(std::move(text));
    return true;
  }

  bool escape(std::string& out) {
    static constexpr std::string_view kSigns = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
    const char sign = *at_++;
    if (const size_t known = kSigns.find(sign); known != std::string_view::npos) {
      out += kMeant[known];
      return true;
    }
    uint32_t point = 0, low = 0;
    if (sign != 'u' || !unit(point)) return false;
    if (point >= 0xD800 && point <= 0xDFFF) {
      if (point >= 0xDC00 || !skip('\\') || !skip('u') || !unit(low) || low < 0xDC00 || low > 0xDFFF) return false;
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, static_cast<char32_t>(point));
    return true;
  }

  bool unit(uint32_t& point) {
    if (end_ - at_ < 4) return false;
    auto [end, fault] = std::from_chars(at_, at_ + 4, point, 16);
    if (fault != std::errc() || end != at_ + 4) return false;
    at_ += 4;
    return true;
  }

  bool digits() {
    const char* begin = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ != begin;
  }

  bool number(Value& out) {
    const char* begin = at_;
    skip('-');
    const char* whole = at_;
    if (!digits() || (*whole == '0' && at_ - whole > 1)) return false;
    bool real = false;
    if (skip('.')) {
      real = true;
      if (!digits()) return false;
    }
    if (skip('e') || skip('E')) {
      real = true;
      if (!skip('-')) skip('+');
      if (!digits()) return false;
    }
    if (!real) {
      int64_t integer = 0;
      const bool fits = std::from_chars(begin, at_, integer).ec == std::errc();
      out = fits ? Value::integer(integer) : Value::big_integer(std::string(begin, at_));
      return true;
    }
    double value = 0;
    if (std::from_chars(begin, at_, value).ec != std::errc()) return false;
    out = Value::number(value);
    return true;
  }

  const char* at_;
  const char* end_;
  const FrequentTexts& frequent_ = FrequentTexts::instance();
};

void append_code(std::string& out, unsigned code) {
  static const char kDigits[] = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[code >> shift & 15];
}

}  // namespace

std::optional<Value> read_json_value(std::string_view text) {
  if (!is_valid_utf8(text)) return std::nullopt;
  return Reader(text).run();
}

void append_json_string(std::string& out, std::string_view text, bool ascii) {
  out += '"';
  for (size_t at = 0; at < text.size();) {
    const size_t plain = plain_prefix(text.substr(at), ascii);
    out.append(text, at, plain);
    at += plain;
    if (at == text.size()) break;
    static constexpr std::string_view kNamed = "\"\\\n\r\t\b\f", kLetters = "\"\\nrtbf";
    if (const size_t named = kNamed.find(text[at]); named != std::string_view::npos) {
      out += '\\';
      out += kLetters[named];
      ++at;
      continue;
    }
    const char32_t point = next_code_point(text, at);
    if (point >= 0x10000) {
      append_code(out, 0xD800 + ((point - 0x10000) >> 10));
      append_code(out, 0xDC00 + ((point - 0x10000) & 0x3FF));
    } else {
      append_code(out, point);
    }
  }
  out += '"';
}

}  // namespace masbak::models::jinja
