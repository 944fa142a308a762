#include "models/tokenizer/jinja/lexer.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>

#include "models/tokenizer/jinja/value.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

// \r\n and \r become \n, and one line break at the very end is dropped (keep_trailing_newline is off).
std::string normal_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normal_lines(source)) {}

  std::vector<Lexeme> run() {
    while (at_ < source_.size()) root();
    add(Token::kEnd, "");
    return std::move(lexemes_);
  }

 private:
  void add(Token token, std::string text) { lexemes_.push_back({token, line_, std::move(text)}); }
  [[noreturn]] void fail_here(const std::string& message) const { throw SyntaxError{line_, message}; }
  bool looking_at(std::string_view text) const { return std::string_view(source_).substr(at_).starts_with(text); }

  void move_to(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    at_ = end;
  }

  size_t skip_space(size_t from) const {
    while (from < source_.size()) {
      size_t next = from;
      if (!is_python_space(next_code_point(source_, next))) break;
      from = next;
    }
    return from;
  }

  // The text up to a tag, cut as the tag's sign and lstrip_blocks ask.
  std::string_view cut_before_tag(std::string_view text, char sign, bool variable) const {
    if (sign == '-') {
      while (!text.empty()) {
        size_t begin = previous_boundary(text, text.size()), at = begin;
        if (!is_python_space(next_code_point(text, at))) break;
        text = text.substr(0, begin);
      }
      return text;
    }
    if (sign == '+' || variable) return text;
    size_t last = text.rfind('\n');
    size_t line = last == std::string_view::npos ? 0 : last + 1;
    if (line == 0 && !line_starting_) return text;
    for (size_t at = line; at < text.size();) {
      if (!is_python_space(next_code_point(text, at))) return text;
    }
    return text.substr(0, line);
  }

  // The end of a raw or endraw tag that starts at `at`: the offset behind it, if it is one.
  std::optional<size_t> raw_tag(size_t at, std::string_view word) const {
    at += 2;
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) ++at;
    at = skip_space(at);
    if (source_.compare(at, word.size(), word) != 0) return std::nullopt;
    at = skip_space(at + word.size());
    bool closing = word == "endraw";
    if (source_.compare(at, 3, "-%}") == 0) return skip_space(at + 3);
    if (closing && source_.compare(at, 3, "+%}") == 0) return at + 3;
    if (source_.compare(at, 2, "%}") != 0) return std::nullopt;
    at += 2;
    return closing && at < source_.size() && source_[at] == '\n' ? at + 1 : at;
  }

  void root() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) {
        add(Token::kData, source_.substr(at_));
        move_to(source_.size());
        return;
      }
      char kind = source_[tag + 1];
      if (kind == '%' || kind == '{' || kind == '#') break;
      ++tag;
    }
    char kind = source_[tag + 1];
    char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign != '-' && sign != '+') sign = '\0';
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    std::string_view kept = cut_before_tag(text, sign, kind == '{');
    if (!kept.empty()) add(Token::kData, std::string(kept));
    std::optional<size_t> raw = kind == '%' ? raw_tag(tag, "raw") : std::nullopt;
    move_to(raw ? *raw : tag + (sign ? 3 : 2));
    line_starting_ = at_ > 0 && source_[at_ - 1] == '\n';
    if (raw) {
      raw_block();
    } else if (kind == '#') {
      comment();
    } else {
      add(kind == '%' ? Token::kBlockBegin : Token::kVariableBegin, "");
      inside(kind == '%');
    }
  }

  void raw_block() {
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 2)) {
      std::optional<size_t> end = raw_tag(tag, "endraw");
      if (!end) continue;
      char sign = source_[tag + 2];
      std::string_view text = std::string_view(source_).substr(at_, tag - at_);
      std::string_view kept = cut_before_tag(text, sign == '-' || sign == '+' ? sign : '\0', false);
      if (!kept.empty()) add(Token::kData, std::string(kept));
      move_to(*end);
      line_starting_ = source_[at_ - 1] == '\n';
      return;
    }
    fail_here("Missing end of raw directive");
  }

  void comment() {
    size_t end = source_.find("#}", at_);
    if (end == std::string::npos) fail_here("Missing end of comment tag");
    char sign = end > at_ ? source_[end - 1] : '\0';
    size_t next = end + 2;
    if (sign == '-') {
      next = skip_space(next);
    } else if (sign != '+' && next < source_.size() && source_[next] == '\n') {
      ++next;
    }
    move_to(next);
    line_starting_ = source_[at_ - 1] == '\n';
  }

  // True if the tag ends here; moves behind its end.
  bool end_tag(bool block) {
    if (!open_.empty()) return false;
    std::string_view close = block ? "%}" : "}}";
    size_t next = std::string::npos;
    if (looking_at(block ? "-%}" : "-}}")) {
      next = skip_space(at_ + 3);
    } else if (block && looking_at("+%}")) {
      next = at_ + 3;
    } else if (looking_at(close)) {
      next = at_ + 2;
      if (block && next < source_.size() && source_[next] == '\n') ++next;
    }
    if (next == std::string::npos) return false;
    add(block ? Token::kBlockEnd : Token::kVariableEnd, "");
    move_to(next);
    line_starting_ = source_[at_ - 1] == '\n';
    return true;
  }

  void inside(bool block) {
    open_.clear();
    while (at_ < source_.size()) {
      if (end_tag(block)) return;
      size_t space = skip_space(at_);
      if (space > at_) {
        move_to(space);
        continue;
      }
      unsigned char c = static_cast<unsigned char>(source_[at_]);
      if (c >= '0' && c <= '9') {
        number();
      } else if (c == '_' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c >= 0x80) {
        name();
      } else if (c == '\'' || c == '"') {
        string_literal();
      } else {
        operator_sign();
      }
    }
  }

  void name() {
    size_t end = at_;
    while (end < source_.size()) {
      size_t next = end;
      if (!is_word(next_code_point(source_, next))) break;
      end = next;
    }
    if (end == at_) fail_here("unexpected character '" + source_.substr(at_, 4) + "'");
    add(Token::kName, source_.substr(at_, end - at_));
    move_to(end);
  }

  static bool digit_of(char c, int base) {
    int value = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : 99;
    return value < base;
  }

  size_t digits(size_t from, int base) const {
    size_t at = from;
    while (at < source_.size() &&
           (digit_of(source_[at], base) ||
            (source_[at] == '_' && at > from && at + 1 < source_.size() && digit_of(source_[at + 1], base)))) {
      ++at;
    }
    return at;
  }

  void number() {
    char second = at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : '\0';
    int base = source_[at_] != '0' ? 10 : second == 'x' ? 16 : second == 'o' ? 8 : second == 'b' ? 2 : 10;
    size_t end = base == 10 ? digits(at_, 10) : digits(at_ + 2, base);
    bool is_float = false;
    // No digit before a dot that an attribute access follows: `x.1.2` is two of these.
    bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (base == 10 && !after_dot) {
      if (end + 1 < source_.size() && source_[end] == '.' && digit_of(source_[end + 1], 10)) {
        end = digits(end + 1, 10);
        is_float = true;
      }
      if (end + 1 < source_.size() && (source_[end] | 0x20) == 'e') {
        size_t power = end + 1 + (source_[end + 1] == '-' || source_[end + 1] == '+');
        if (power < source_.size() && digit_of(source_[power], 10)) {
          end = digits(power, 10);
          is_float = true;
        }
      }
    }
    std::string text = source_.substr(at_, end - at_);
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    Lexeme lexeme{is_float ? Token::kFloat : Token::kInteger, line_, text};
    errno = 0;
    if (is_float) {
      lexeme.number = std::strtod(text.c_str(), nullptr);
    } else {
      lexeme.integer = std::strtoll(text.c_str() + (base == 10 ? 0 : 2), nullptr, base);
      lexeme.big = errno == ERANGE;
      if (lexeme.big && base != 10) fail_here("the integer " + text + " is past 64 bits");
    }
    lexemes_.push_back(std::move(lexeme));
    move_to(end);
  }

  void string_literal() {
    char quote = source_[at_];
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail_here("unexpected char '" + std::string(1, quote) + "': a string without an end");
    add(Token::kString, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    move_to(end + 1);
  }

  std::string unescape(std::string_view text) const {
    std::string out;
    for (size_t at = 0; at < text.size(); ++at) {
      if (text[at] != '\\' || at + 1 >= text.size()) {
        out += text[at];
        continue;
      }
      char c = text[++at];
      static constexpr std::string_view kPlain = "\\'\"abfnrtv", kMeant = "\\'\"\a\b\f\n\r\t\v";
      size_t plain = kPlain.find(c);
      if (plain != std::string_view::npos) {
        out += kMeant[plain];
      } else if (c == 'x' || c == 'u' || c == 'U') {
        at = code_escape(text, at, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
      } else if (c >= '0' && c <= '7') {
        size_t end = at;
        while (end < text.size() && end < at + 3 && text[end] >= '0' && text[end] <= '7') ++end;
        append_utf8(out, static_cast<char32_t>(std::stoi(std::string(text.substr(at, end - at)), nullptr, 8)));
        at = end - 1;
      } else if (c != '\n') {  // a backslash at the end of a line joins it to the next
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  size_t code_escape(std::string_view text, size_t at, size_t count, std::string& out) const {
    std::string hex(text.substr(at + 1, count));
    if (hex.size() < count || hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      fail_here("truncated escape \\" + std::string(1, text[at]) + " in a string");
    }
    unsigned long point = std::stoul(hex, nullptr, 16);
    if (point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) fail_here("the escape \\" + hex + " is no character");
    append_utf8(out, static_cast<char32_t>(point));
    return at + count;
  }

  void operator_sign() {
    static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (std::string_view sign : kOperators) {
      if (!looking_at(sign)) continue;
      balance(sign[0]);
      add(Token::kOperator, std::string(sign));
      move_to(at_ + sign.size());
      return;
    }
    fail_here("unexpected char '" + source_.substr(at_, 1) + "'");
  }

  void balance(char sign) {
    if (sign == '{') open_ += '}';
    if (sign == '(') open_ += ')';
    if (sign == '[') open_ += ']';
    if (sign != '}' && sign != ')' && sign != ']') return;
    if (open_.empty()) fail_here("unexpected '" + std::string(1, sign) + "'");
    if (open_.back() != sign) {
      fail_here("unexpected '" + std::string(1, sign) + "', expected '" + std::string(1, open_.back()) + "'");
    }
    open_.pop_back();
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string open_;  // the closing signs that are awaited
  std::vector<Lexeme> lexemes_;
};

}  // namespace

std::vector<Lexeme> tokenize_template(std::string_view source) { return Lexer(source).run(); }

}  // namespace masbak::models::jinja
