// Expressions, by recursive descent with jinja2's precedence:
// condition < or < and < not < comparison < + - < ~ < * / // % < ** < unary < postfix, filters, tests.
#include <algorithm>

#include "models/tokenizer/jinja/parser_base.h"

namespace masbak::models::jinja {

ExpressionParser::Nesting::Nesting(ExpressionParser& parser) : parser_(parser) {
  if (++parser_.nesting_ > kDeepestNesting) {
    throw LimitError{"the template nests more than " + std::to_string(kDeepestNesting) + " deep"};
  }
}

const Lexeme& ExpressionParser::take() {
  const Lexeme& lexeme = lexemes_[at_];
  if (at_ + 1 < lexemes_.size()) ++at_;
  return lexeme;
}

bool ExpressionParser::skip_name(std::string_view text) {
  if (!is_name(text)) return false;
  take();
  return true;
}

bool ExpressionParser::skip_sign(std::string_view text) {
  if (!is_sign(text)) return false;
  take();
  return true;
}

std::string ExpressionParser::describe(const Lexeme& lexeme) {
  switch (lexeme.token) {
    case Token::kData: return "template data / text";
    case Token::kBlockBegin: return "begin of statement block";
    case Token::kBlockEnd: return "end of statement block";
    case Token::kVariableBegin: return "begin of print statement";
    case Token::kVariableEnd: return "end of print statement";
    case Token::kString: return "string";
    case Token::kInteger: return "integer";
    case Token::kFloat: return "float";
    case Token::kEnd: return "end of template";
    default: return lexeme.text;
  }
}

void ExpressionParser::fail_here(const std::string& message) const { throw SyntaxError{now().line, message}; }

void ExpressionParser::expect_sign(std::string_view text) {
  if (!skip_sign(text)) fail_here("expected token '" + std::string(text) + "', got '" + describe(now()) + "'");
}

std::string ExpressionParser::expect_name() {
  if (now().token != Token::kName) fail_here("expected token 'name', got '" + describe(now()) + "'");
  return take().text;
}

void ExpressionParser::expect_name(std::string_view text) {
  if (!skip_name(text)) fail_here("expected token '" + std::string(text) + "', got '" + describe(now()) + "'");
}

void ExpressionParser::expect(Token token, const char* what) {
  if (now().token != token) fail_here(std::string("expected token '") + what + "', got '" + describe(now()) + "'");
  take();
}

int ExpressionParser::name_id(const std::string& name) {
  auto [found, added] = template_.name_ids.try_emplace(name, static_cast<int>(template_.names.size()));
  if (added) template_.names.push_back(name);
  return found->second;
}

ExprPtr ExpressionParser::make(Expr::Kind kind, int line) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  return expr;
}

void ExpressionParser::adopt(Expr& parent, const ExprPtr& kid) const {
  if (!kid) return;
  parent.depth = std::max(parent.depth, kid->depth + 1);
  if (parent.depth > kDeepestTree) {
    throw LimitError{"an expression nests more than " + std::to_string(kDeepestTree) + " deep"};
  }
}

ExprPtr ExpressionParser::make(Expr::Kind kind, int line, ExprPtr kid) const {
  ExprPtr expr = make(kind, line);
  adopt(*expr, kid);
  expr->kids.push_back(std::move(kid));
  return expr;
}

ExprPtr ExpressionParser::make(Expr::Kind kind, int line, ExprPtr left, ExprPtr right) const {
  ExprPtr expr = make(kind, line, std::move(left));
  adopt(*expr, right);
  expr->kids.push_back(std::move(right));
  return expr;
}

ExprPtr ExpressionParser::constant(Value value, int line) const {
  ExprPtr expr = make(Expr::Kind::kConst, line);
  template_.pins.pin(value);
  expr->constant = std::move(value);
  return expr;
}

void ExpressionParser::adopt_arguments(Expr& parent) const {
  for (const ExprPtr& each : parent.arguments.positional) adopt(parent, each);
  for (const auto& [name, each] : parent.arguments.named) adopt(parent, each);
  adopt(parent, parent.arguments.star);
  adopt(parent, parent.arguments.double_star);
}

ExprPtr ExpressionParser::expression(bool with_condition) { return with_condition ? condition() : disjunction(); }

ExprPtr ExpressionParser::condition() {
  Nesting nesting(*this);
  int line = now().line;
  ExprPtr value = disjunction();
  while (skip_name("if")) {
    ExprPtr test = disjunction();
    ExprPtr other = skip_name("else") ? condition() : nullptr;
    ExprPtr expr = make(Expr::Kind::kCondition, line, std::move(test), std::move(value));
    adopt(*expr, other);
    expr->kids.push_back(std::move(other));
    value = std::move(expr);
    line = now().line;
  }
  return value;
}

ExprPtr ExpressionParser::disjunction() {
  ExprPtr left = conjunction();
  while (is_name("or")) {
    int line = take().line;
    left = make(Expr::Kind::kOr, line, std::move(left), conjunction());
  }
  return left;
}

ExprPtr ExpressionParser::conjunction() {
  ExprPtr left = negation();
  while (is_name("and")) {
    int line = take().line;
    left = make(Expr::Kind::kAnd, line, std::move(left), negation());
  }
  return left;
}

ExprPtr ExpressionParser::negation() {
  if (!is_name("not")) return comparison();
  Nesting nesting(*this);
  int line = take().line;
  return make(Expr::Kind::kNot, line, negation());
}

ExprPtr ExpressionParser::comparison() {
  static const std::pair<const char*, CompareOp> kSigns[] = {{"==", CompareOp::kEq}, {"!=", CompareOp::kNe},
                                                             {"<=", CompareOp::kLe}, {">=", CompareOp::kGe},
                                                             {"<", CompareOp::kLt},  {">", CompareOp::kGt}};
  ExprPtr first = sum();
  ExprPtr expr;
  while (true) {
    int line = now().line;
    CompareOp op;
    auto sign =
        std::find_if(std::begin(kSigns), std::end(kSigns), [&](const auto& each) { return is_sign(each.first); });
    if (sign != std::end(kSigns)) {
      op = sign->second;
      take();
    } else if (skip_name("in")) {
      op = CompareOp::kIn;
    } else if (is_name("not") && after().token == Token::kName && after().text == "in") {
      take();
      take();
      op = CompareOp::kNotIn;
    } else {
      return expr ? std::move(expr) : std::move(first);
    }
    if (!expr) expr = make(Expr::Kind::kCompare, line, std::move(first));
    ExprPtr next = sum();
    adopt(*expr, next);
    expr->compares.push_back(op);
    expr->kids.push_back(std::move(next));
  }
}

ExprPtr ExpressionParser::sum() {
  ExprPtr left = concatenation();
  while (is_sign("+") || is_sign("-")) {
    const Lexeme& sign = take();
    BinaryOp op = sign.text == "+" ? BinaryOp::kAdd : BinaryOp::kSub;
    left = make(Expr::Kind::kBinary, sign.line, std::move(left), concatenation());
    left->binary = op;
  }
  return left;
}

ExprPtr ExpressionParser::concatenation() {
  ExprPtr first = product();
  if (!is_sign("~")) return first;
  ExprPtr expr = make(Expr::Kind::kConcat, now().line, std::move(first));
  while (skip_sign("~")) {
    ExprPtr next = product();
    adopt(*expr, next);
    expr->kids.push_back(std::move(next));
  }
  return expr;
}

ExprPtr ExpressionParser::product() {
  ExprPtr left = power();
  while (is_sign("*") || is_sign("/") || is_sign("//") || is_sign("%")) {
    const Lexeme& sign = take();
    BinaryOp op = sign.text == "*"    ? BinaryOp::kMul
                  : sign.text == "/"  ? BinaryOp::kDiv
                  : sign.text == "//" ? BinaryOp::kFloorDiv
                                      : BinaryOp::kMod;
    left = make(Expr::Kind::kBinary, sign.line, std::move(left), power());
    left->binary = op;
  }
  return left;
}

ExprPtr ExpressionParser::power() {
  ExprPtr left = unary(true);
  while (is_sign("**")) {
    int line = take().line;
    left = make(Expr::Kind::kBinary, line, std::move(left), unary(true));
    left->binary = BinaryOp::kPow;
  }
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filter) {
  Nesting nesting(*this);
  int line = now().line;
  ExprPtr expr;
  if (skip_sign("-")) {
    expr = make(Expr::Kind::kNegative, line, unary(false));
  } else if (skip_sign("+")) {
    expr = make(Expr::Kind::kPositive, line, unary(false));
  } else {
    expr = primary();
  }
  expr = postfix(std::move(expr));
  return with_filter ? filters_and_tests(std::move(expr)) : std::move(expr);
}

}  // namespace masbak::models::jinja
