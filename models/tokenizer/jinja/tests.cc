// The tests of jinja2: `x is NAME`.
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

// `value % by == wanted` as Python does it: a text is formatted, which makes a text that equals no number.
bool leaves(Render& render, const Value& value, const Value& by, int64_t wanted) {
  return equal(binary(render, BinaryOp::kMod, value, by), Value::integer(wanted));
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
      {"odd", [](Render& r, V v, A a) { return bare(a) && leaves(r, v, Value::integer(2), 1); }},
      {"even", [](Render& r, V v, A a) { return bare(a) && leaves(r, v, Value::integer(2), 0); }},
      {"divisibleby", [](Render& r, V v, A a) { return leaves(r, v, operand(a), 0); }},
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
