// The text of a template as tokens, with jinja2's white-space control: trim_blocks and lstrip_blocks on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace masbak::models::jinja {

enum class Token : uint8_t {
  kData,
  kBlockBegin,
  kBlockEnd,
  kVariableBegin,
  kVariableEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Lexeme {
  Token token;
  int line;
  std::string text;  // data, name, unescaped string, operator
  int64_t integer = 0;
  double number = 0;
  bool big = false;  // an integer past 64 bits: its digits are in `text`
};

// A template that is not well formed: line and cause.
struct SyntaxError {
  int line;
  std::string message;
};

// Throws SyntaxError.
std::vector<Lexeme> tokenize_template(std::string_view source);

}  // namespace masbak::models::jinja
