// Operands: names, literals, and what follows them (attributes, elements, calls, filters, tests).
#include "models/tokenizer/jinja/parser_base.h"

namespace masbak::models::jinja {

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
      expr->global = find_global(name);
      expr->constant = Value::undefined("'" + name + "' is undefined");
      template_.pins.pin(expr->constant);
      expr->text = std::move(name);
      return expr;
    }
    case Token::kString: {
      std::string text;
      while (now().token == Token::kString) text += take().text;
      return constant(Value::string(std::move(text)), line);
    }
    case Token::kInteger: {
      const Lexeme& number = take();
      return constant(number.big ? Value::big_integer(number.text) : Value::integer(number.integer), line);
    }
    case Token::kFloat: return constant(Value::number(take().number), line);
    default: break;
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
    result->methods = find_methods(name);
    result->constant = Value::undefined("'dict object' has no attribute '" + name + "'");
    template_.pins.pin(result->constant);
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
