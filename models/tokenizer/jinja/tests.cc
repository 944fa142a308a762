// The tests of jinja2: `x is NAME`.
#include <cmath>

#include "models/tokenizer/jinja/parser.h"
#include "models/tokenizer/jinja/string_methods.h"

namespace masbak::models::jinja {
namespace {

const Value& operand(const Arguments& arguments) {
  if (arguments.positional.size() != 1) fail("the test takes exactly one argument");
  return arguments.positional[0];
}

// True; fails if the test was given an operand.
bool bare(const Arguments& arguments) {
  if (!arguments.positional.empty() || !arguments.named.empty()) fail("the test takes no argument");
  return true;
}

int64_t whole(const Value& value) {
  if (value.is_undefined()) fail(value.text());
  if (!value.is_integer()) fail("not all arguments converted: an integer is required, not " + type_name(value));
  return value.as_integer();
}

double rest_of_two(const Value& value) {
  if (value.type() != Value::Type::kFloat) return static_cast<double>(whole(value) & 1);
  const double number = value.as_double();
  return number - 2 * std::floor(number / 2);
}

const Value& hashable(const Value& value) {
  if (value.is_dict() || (value.is_list() && value.list().kind == List::Kind::kList)) {
    fail("unhashable type: '" + type_name(value) + "'");
  }
  return value;
}

bool is_whole(const Value& value) { return value.type() == Value::Type::kInt || value.type() == Value::Type::kBigInt; }

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_list() || value.is_dict() ||
         value.type() == Value::Type::kLoop;
}

bool is_sequence(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_dict() ||
         (value.is_list() && value.list().is_sequence());
}

bool divisible(const Value& value, const Arguments& arguments) {
  if (value.type() == Value::Type::kFloat) {
    const double divisor = static_cast<double>(whole(operand(arguments)));
    if (divisor == 0) fail("float modulo");
    return std::fmod(value.as_double(), divisor) == 0;
  }
  int64_t by = whole(operand(arguments));
  if (by == 0) fail("integer division or modulo by zero");
  return by == -1 || whole(value) % by == 0;
}

using Table = std::unordered_map<std::string_view, Test>;

const Table& table() {
  using V = const Value&;
  using A = Arguments&;
  static const Table tests = {
      {"defined", [](Render&, V v, A a) { return bare(a) && !v.is_undefined(); }},
      {"undefined", [](Render&, V v, A a) { return bare(a) && v.is_undefined(); }},
      {"none", [](Render&, V v, A a) { return bare(a) && v.is_none(); }},
      {"boolean", [](Render&, V v, A a) { return bare(a) && v.is_bool(); }},
      {"true", [](Render&, V v, A a) { return bare(a) && v.is_bool() && v.as_integer() != 0; }},
      {"false", [](Render&, V v, A a) { return bare(a) && v.is_bool() && v.as_integer() == 0; }},
      {"integer", [](Render&, V v, A a) { return bare(a) && is_whole(v); }},
      {"float", [](Render&, V v, A a) { return bare(a) && v.type() == Value::Type::kFloat; }},
      {"number", [](Render&, V v, A a) { return bare(a) && (v.is_number() || is_whole(v)); }},
      {"string", [](Render&, V v, A a) { return bare(a) && v.is_string(); }},
      {"mapping", [](Render&, V v, A a) { return bare(a) && v.is_dict(); }},
      {"sequence", [](Render&, V v, A a) { return bare(a) && is_sequence(v); }},
      {"iterable", [](Render&, V v, A a) { return bare(a) && is_iterable(v); }},
      {"callable",
       [](Render&, V v, A) {
         return v.is_undefined() || v.type() == Value::Type::kCallable || v.type() == Value::Type::kLoop;
       }},
      {"sameas", [](Render&, V v, A a) { return same(v, operand(a)); }},
      {"escaped", [](Render&, V v, A a) { return bare(a) && v.is_markup(); }},
      {"lower", [](Render&, V v, A a) { return bare(a) && all_lower(to_text(v)); }},
      {"upper", [](Render&, V v, A a) { return bare(a) && all_upper(to_text(v)); }},
      {"odd", [](Render&, V v, A a) { return bare(a) && rest_of_two(v) == 1; }},
      {"even", [](Render&, V v, A a) { return bare(a) && rest_of_two(v) == 0; }},
      {"divisibleby", [](Render&, V v, A a) { return divisible(v, a); }},
      {"in", [](Render&, V v, A a) { return contains(operand(a), v); }},
      {"filter",
       [](Render&, V v, A a) { return bare(a) && hashable(v).is_string() && find_filter(v.text()) != nullptr; }},
      {"test", [](Render&, V v, A a) { return bare(a) && hashable(v).is_string() && find_test(v.text()) != nullptr; }},
      {"eq", [](Render&, V v, A a) { return equal(v, operand(a)); }},
      {"ne", [](Render&, V v, A a) { return !equal(v, operand(a)); }},
      {"lt", [](Render&, V v, A a) { return compare(v, operand(a), "<") < 0; }},
      {"le", [](Render&, V v, A a) { return compare(v, operand(a), "<=") <= 0; }},
      {"gt", [](Render&, V v, A a) { return compare(v, operand(a), ">") > 0; }},
      {"ge", [](Render&, V v, A a) { return compare(v, operand(a), ">=") >= 0; }}};
  return tests;
}

}  // namespace

Test find_test(std::string_view name) {
  static const std::unordered_map<std::string_view, std::string_view> kOther = {
      {"equalto", "eq"}, {"==", "eq"}, {"!=", "ne"},          {"<", "lt"}, {"lessthan", "lt"},
      {"<=", "le"},      {">", "gt"},  {"greaterthan", "gt"}, {">=", "ge"}};
  auto other = kOther.find(name);
  auto found = table().find(other == kOther.end() ? name : other->second);
  return found == table().end() ? nullptr : found->second;
}

}  // namespace masbak::models::jinja
