// What the two halves of the parser share: the stream of tokens, and the expressions.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "models/tokenizer/jinja/parser.h"

namespace masbak::models::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Lexeme> lexemes, Template& result) : lexemes_(std::move(lexemes)), template_(result) {}

 protected:
  static constexpr int kDeepestNesting = 200, kDeepestTree = 1000;

  // Counts how deep the parser is in itself.
  struct Nesting {
    explicit Nesting(ExpressionParser& parser);
    ~Nesting() { --parser_.nesting_; }
    ExpressionParser& parser_;
  };

  const Lexeme& now() const { return lexemes_[at_]; }
  const Lexeme& after() const { return lexemes_[std::min(at_ + 1, lexemes_.size() - 1)]; }
  const Lexeme& take();
  bool is_name(std::string_view text) const { return now().token == Token::kName && now().text == text; }
  bool is_sign(std::string_view text) const { return now().token == Token::kOperator && now().text == text; }
  bool skip_name(std::string_view text);
  bool skip_sign(std::string_view text);
  void expect_sign(std::string_view text);
  std::string expect_name();
  void expect_name(std::string_view text);
  void expect(Token token, const char* what);
  [[noreturn]] void fail_here(const std::string& message) const;
  static std::string describe(const Lexeme& lexeme);
  int name_id(const std::string& name);

  ExprPtr make(Expr::Kind kind, int line) const;
  ExprPtr make(Expr::Kind kind, int line, ExprPtr kid) const;
  ExprPtr make(Expr::Kind kind, int line, ExprPtr left, ExprPtr right) const;
  void adopt(Expr& parent, const ExprPtr& kid) const;  // deepens the parent

  ExprPtr expression(bool with_condition = true);
  // An expression, or a tuple if commas follow. `stop` is a name that ends it, as "in" does.
  ExprPtr tuple(bool with_condition = true, std::string_view stop = "", bool in_parentheses = false);
  ExprPtr primary();
  ExprPtr postfix(ExprPtr expr);
  ExprPtr filter(ExprPtr expr, bool at_name = false);
  CallArguments call_arguments();

  std::unordered_set<std::string> used_names_;  // names that were read since it was last emptied

 private:
  ExprPtr condition();
  ExprPtr disjunction();
  ExprPtr conjunction();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter);
  ExprPtr filters_and_tests(ExprPtr expr);
  ExprPtr test(ExprPtr expr);
  ExprPtr subscript(ExprPtr expr);
  ExprPtr subscripted();
  ExprPtr call(ExprPtr expr);
  ExprPtr list_literal();
  ExprPtr dict_literal();
  ExprPtr constant(Value value, int line) const;
  void adopt_arguments(Expr& parent) const;

  std::vector<Lexeme> lexemes_;
  size_t at_ = 0;
  int nesting_ = 0;

 protected:
  Template& template_;
};

}  // namespace masbak::models::jinja
