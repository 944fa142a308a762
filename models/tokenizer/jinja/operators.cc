// Arithmetic, as Python does it on numbers, texts and lists.
#include <cmath>

#include "models/tokenizer/jinja/render.h"

namespace masbak::models::jinja {
namespace {

const char* sign_of(BinaryOp op) {
  static const char* const kSigns[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
  return kSigns[static_cast<int>(op)];
}

[[noreturn]] void fail_types(BinaryOp op, const Value& left, const Value& right) {
  for (const Value* side : {&left, &right}) {
    if (side->type() == Value::Type::kBigInt) fail("no arithmetic on integers past 64 bits: " + side->text());
  }
  if (op == BinaryOp::kAdd && left.is_string()) {
    fail("can only concatenate str (not \"" + type_name(right) + "\") to str");
  }
  if (op == BinaryOp::kAdd && left.is_list() && left.list().is_sequence()) {
    fail("can only concatenate " + type_name(left) + " (not \"" + type_name(right) + "\") to " + type_name(left));
  }
  fail(std::string("unsupported operand type(s) for ") + sign_of(op) + ": '" + type_name(left) + "' and '" +
       type_name(right) + "'");
}

[[noreturn]] void fail_overflow() { fail("the result is an integer past 64 bits"); }

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i) {
    if (base == 0 || base == 1) return base;
    if (base == -1) return exponent % 2 == 0 ? 1 : -1;
    if (__builtin_mul_overflow(result, base, &result)) fail_overflow();
  }
  return result;
}

Value integers(BinaryOp op, int64_t left, int64_t right) {
  int64_t result = 0;
  bool overflow = false;
  bool divides = op == BinaryOp::kDiv || op == BinaryOp::kFloorDiv || op == BinaryOp::kMod;
  if (divides && right == 0) fail(op == BinaryOp::kDiv ? "division by zero" : "integer division or modulo by zero");
  switch (op) {
    case BinaryOp::kAdd: overflow = __builtin_add_overflow(left, right, &result); break;
    case BinaryOp::kSub: overflow = __builtin_sub_overflow(left, right, &result); break;
    case BinaryOp::kMul: overflow = __builtin_mul_overflow(left, right, &result); break;
    case BinaryOp::kDiv: return Value::number(static_cast<double>(left) / static_cast<double>(right));
    case BinaryOp::kFloorDiv:
      if (right == -1) return integers(BinaryOp::kSub, 0, left);
      result = left / right - (left % right != 0 && (left < 0) != (right < 0));
      break;
    case BinaryOp::kMod:
      if (right == -1) return Value::integer(0);
      result = left % right;
      if (result != 0 && (result < 0) != (right < 0)) result += right;
      break;
    case BinaryOp::kPow:
      if (right < 0 && left == 0) fail("0.0 cannot be raised to a negative power");
      if (right < 0) return Value::number(std::pow(static_cast<double>(left), static_cast<double>(right)));
      result = power(left, right);
      break;
  }
  if (overflow) fail_overflow();
  return Value::integer(result);
}

Value doubles(BinaryOp op, double left, double right) {
  bool divides = op == BinaryOp::kDiv || op == BinaryOp::kFloorDiv || op == BinaryOp::kMod;
  if (divides && right == 0) fail(op == BinaryOp::kMod ? "float modulo" : "float division by zero");
  switch (op) {
    case BinaryOp::kAdd: return Value::number(left + right);
    case BinaryOp::kSub: return Value::number(left - right);
    case BinaryOp::kMul: return Value::number(left * right);
    case BinaryOp::kDiv: return Value::number(left / right);
    case BinaryOp::kFloorDiv: return Value::number(std::floor(left / right));
    case BinaryOp::kMod: {
      double rest = std::fmod(left, right);
      return Value::number(rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest);
    }
    case BinaryOp::kPow: return Value::number(std::pow(left, right));
  }
  fail("unknown operator");
}

Value repeat_text(Render& render, const Value& text, int64_t times) {
  const std::string& piece = text.text();
  if (times <= 0 || piece.empty()) return Value::string("", text.is_markup());
  if (static_cast<size_t>(times) > (kLongestText / piece.size())) throw LimitError{"a text grew past 64 MiB"};
  std::string out;
  out.reserve(piece.size() * static_cast<size_t>(times));
  for (int64_t i = 0; i < times; ++i) out += piece;
  return render.make_text(std::move(out), text.is_markup());
}

Value repeat_list(Render& render, const Value& list, int64_t times) {
  Items out;
  const Items& items = list.list().items;
  for (int64_t i = 0; i < times && !items.empty(); ++i) {
    render.spend(static_cast<int64_t>(items.size()));
    out.insert(out.end(), items.begin(), items.end());
  }
  return make_list(std::move(out), list.list().kind);
}

Value add_texts(Render& render, const Value& left, const Value& right) {
  bool markup = left.is_markup() || right.is_markup();  // markupsafe escapes the side that is not marked
  std::string out = markup && !left.is_markup() ? escape_html(left.text()) : left.text();
  out += markup && !right.is_markup() ? escape_html(right.text()) : right.text();
  return render.make_text(std::move(out), markup);
}

Value multiply(Render& render, const Value& left, const Value& right) {
  if (left.is_string() && right.is_integer()) return repeat_text(render, left, right.as_integer());
  if (right.is_string() && left.is_integer()) return repeat_text(render, right, left.as_integer());
  auto is_plain = [](const Value& value) {
    return value.is_list() && (value.list().kind == List::Kind::kList || value.list().kind == List::Kind::kTuple);
  };
  if (is_plain(left) && right.is_integer()) return repeat_list(render, left, right.as_integer());
  if (is_plain(right) && left.is_integer()) return repeat_list(render, right, left.as_integer());
  fail_types(BinaryOp::kMul, left, right);
}

}  // namespace

Value binary(Render& render, BinaryOp op, const Value& left, const Value& right) {
  if (left.is_undefined()) fail(left.text());
  if (op == BinaryOp::kMod && left.is_string()) {
    return render.make_text(percent_format(render, left.text(), right), left.is_markup());
  }
  if (right.is_undefined()) fail(right.text());
  if (left.is_number() && right.is_number()) {
    if (left.is_integer() && right.is_integer()) return integers(op, left.as_integer(), right.as_integer());
    return doubles(op, left.as_double(), right.as_double());
  }
  if (op == BinaryOp::kAdd && left.is_string() && right.is_string()) return add_texts(render, left, right);
  if (op == BinaryOp::kAdd && left.is_list() && right.is_list() && left.list().kind == right.list().kind &&
      left.list().kind <= List::Kind::kTuple) {
    Items items = left.list().items;
    items.insert(items.end(), right.list().items.begin(), right.list().items.end());
    return make_list(std::move(items), left.list().kind);
  }
  if (op == BinaryOp::kMul) return multiply(render, left, right);
  fail_types(op, left, right);
}

const std::string& string_argument(const Value& value, const char* callee) {
  if (value.is_undefined()) fail(value.text());
  if (!value.is_string()) fail(std::string(callee) + " expected a string, not " + type_name(value));
  return value.text();
}

int64_t integer_argument(const Value& value, const char* callee) {
  if (value.is_undefined()) fail(value.text());
  if (!value.is_integer())
    fail(std::string(callee) + ": '" + type_name(value) + "' object cannot be interpreted as an integer");
  return value.as_integer();
}

}  // namespace masbak::models::jinja
