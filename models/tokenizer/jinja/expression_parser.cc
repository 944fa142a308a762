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
    auto sign = std::find_if(std::begin(kSigns), std::end(kSigns), [&](const auto& each) { return is_sign(each.first); });
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

ExprPtr ExpressionParser::primary() {
  const Lexeme& lexeme = now();
  int line = lexeme.line;
  switch (lexeme.token) {
    case Token::kName: {
      std::string name = take().text;
      if (name == "true" || name == "True") return constant(Value::boolean(true), line);
      if (name == "false" || name == "False") return constant(Value::boolean(false), line);
      if (name == "none" || name == "None") return constant(Value(), line);
      ExprPtr expr = make(Expr::Kind::kName, line);
      used_names_.insert(name);
      expr->name = name_id(name);
      expr->text = std::move(name);
      return expr;
    }
    case Token::kString: {
      std::string text;
      while (now().token == Token::kString) text += take().text;
      return constant(Value::string(std::move(text)), line);
    }
    case Token::kInteger:
      return constant(Value::integer(take().integer), line);
    case Token::kFloat:
      return constant(Value::number(take().number), line);
    default:
      break;
  }
  if (is_sign("[")) return list_literal();
  if (is_sign("{")) return dict_literal();
  if (!skip_sign("(")) fail_here("unexpected '" + describe(now()) + "'");
  ExprPtr expr = tuple(true, "", true);
  expect_sign(")");
  return expr;
}

ExprPtr ExpressionParser::tuple(bool with_condition, std::string_view stop, bool in_parentheses) {
  int line = now().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  auto at_end = [&] {
    return now().token == Token::kVariableEnd || now().token == Token::kBlockEnd || is_sign(")") ||
           (!stop.empty() && is_name(stop));
  };
  while (!at_end()) {
    items.push_back(expression(with_condition));
    if (!skip_sign(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items[0]);
    if (!in_parentheses) fail_here("Expected an expression, got '" + describe(now()) + "'");
  }
  ExprPtr expr = make(Expr::Kind::kTuple, line);
  for (ExprPtr& item : items) {
    adopt(*expr, item);
    expr->kids.push_back(std::move(item));
  }
  return expr;
}

ExprPtr ExpressionParser::list_literal() {
  ExprPtr expr = make(Expr::Kind::kList, take().line);
  while (!is_sign("]")) {
    if (!expr->kids.empty()) {
      expect_sign(",");
      if (is_sign("]")) break;
    }
    ExprPtr item = expression();
    adopt(*expr, item);
    expr->kids.push_back(std::move(item));
  }
  expect_sign("]");
  return expr;
}

ExprPtr ExpressionParser::dict_literal() {
  ExprPtr expr = make(Expr::Kind::kDict, take().line);
  while (!is_sign("}")) {
    if (!expr->kids.empty()) {
      expect_sign(",");
      if (is_sign("}")) break;
    }
    for (bool value : {false, true}) {
      if (value) expect_sign(":");
      ExprPtr part = expression();
      adopt(*expr, part);
      expr->kids.push_back(std::move(part));
    }
  }
  expect_sign("}");
  return expr;
}

ExprPtr ExpressionParser::postfix(ExprPtr expr) {
  while (true) {
    if (is_sign(".") || is_sign("[")) {
      expr = subscript(std::move(expr));
    } else if (is_sign("(")) {
      expr = call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr expr) {
  while (true) {
    if (is_sign("|")) {
      expr = filter(std::move(expr));
    } else if (is_name("is")) {
      expr = test(std::move(expr));
    } else if (is_sign("(")) {
      expr = call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr expr) {
  int line = now().line;
  if (skip_sign(".")) {
    if (now().token == Token::kInteger) {
      int64_t index = take().integer;
      return make(Expr::Kind::kItem, line, std::move(expr), constant(Value::integer(index), line));
    }
    if (now().token != Token::kName) fail_here("expected name or number");
    std::string name = take().text;
    ExprPtr result = make(Expr::Kind::kAttribute, line, std::move(expr));
    result->constant = Value::string(name);
    result->text = std::move(name);
    return result;
  }
  expect_sign("[");
  std::vector<ExprPtr> indices;
  while (!is_sign("]")) {
    if (!indices.empty()) expect_sign(",");
    indices.push_back(subscripted());
  }
  expect_sign("]");
  if (indices.size() == 1) return make(Expr::Kind::kItem, line, std::move(expr), std::move(indices[0]));
  ExprPtr several = make(Expr::Kind::kTuple, line);
  for (ExprPtr& index : indices) {
    adopt(*several, index);
    several->kids.push_back(std::move(index));
  }
  return make(Expr::Kind::kItem, line, std::move(expr), std::move(several));
}

ExprPtr ExpressionParser::subscripted() {
  int line = now().line;
  ExprPtr parts[3];
  if (!is_sign(":")) {
    parts[0] = expression();
    if (!is_sign(":")) return std::move(parts[0]);
  }
  for (int i = 1; i < 3 && skip_sign(":"); ++i) {
    if (!is_sign(":") && !is_sign("]") && !is_sign(",")) parts[i] = expression();
  }
  ExprPtr slice = make(Expr::Kind::kSlice, line);
  for (ExprPtr& part : parts) {
    adopt(*slice, part);
    slice->kids.push_back(std::move(part));
  }
  return slice;
}

ExprPtr ExpressionParser::call(ExprPtr expr) {
  int line = now().line;
  ExprPtr result = make(Expr::Kind::kCall, line, std::move(expr));
  result->arguments = call_arguments();
  adopt_arguments(*result);
  return result;
}

CallArguments ExpressionParser::call_arguments() {
  CallArguments arguments;
  int line = now().line;
  expect_sign("(");
  auto ensure = [&](bool right) {
    if (!right) throw SyntaxError{line, "invalid syntax for function call expression"};
  };
  bool more = false;
  while (!is_sign(")")) {
    if (more) {
      expect_sign(",");
      if (is_sign(")")) break;
    }
    more = true;
    if (skip_sign("*")) {
      ensure(!arguments.star && !arguments.double_star);
      arguments.star = expression();
    } else if (skip_sign("**")) {
      ensure(!arguments.double_star);
      arguments.double_star = expression();
    } else if (now().token == Token::kName && after().token == Token::kOperator && after().text == "=") {
      ensure(!arguments.double_star);
      std::string name = take().text;
      take();
      arguments.named.emplace_back(std::move(name), expression());
    } else {
      ensure(!arguments.star && !arguments.double_star && arguments.named.empty());
      arguments.positional.push_back(expression());
    }
  }
  expect_sign(")");
  return arguments;
}

ExprPtr ExpressionParser::filter(ExprPtr expr, bool at_name) {
  while (at_name || is_sign("|")) {
    if (!at_name) take();
    at_name = false;
    int line = now().line;
    std::string name = expect_name();
    while (skip_sign(".")) name += "." + expect_name();
    expr = make(Expr::Kind::kFilter, line, std::move(expr));
    expr->filter = find_filter(name);
    expr->text = std::move(name);
    if (is_sign("(")) expr->arguments = call_arguments();
    adopt_arguments(*expr);
  }
  return expr;
}

ExprPtr ExpressionParser::test(ExprPtr expr) {
  int line = take().line;
  bool negated = skip_name("not");
  std::string name = expect_name();
  while (skip_sign(".")) name += "." + expect_name();
  ExprPtr result = make(Expr::Kind::kTest, line, std::move(expr));
  result->negated = negated;
  result->test = find_test(name);
  result->text = std::move(name);
  bool argument = now().token == Token::kName || now().token == Token::kString || now().token == Token::kInteger ||
                  now().token == Token::kFloat || is_sign("[") || is_sign("{");
  if (is_sign("(")) {
    result->arguments = call_arguments();
  } else if (argument && !is_name("else") && !is_name("or") && !is_name("and")) {
    if (is_name("is")) fail_here("You cannot chain multiple tests with is");
    result->arguments.positional.push_back(postfix(primary()));
  }
  adopt_arguments(*result);
  return result;
}

}  // namespace masbak::models::jinja
