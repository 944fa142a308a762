// Expressions.
#include <algorithm>

#include "models/tokenizer/jinja/loop.h"
#include "models/tokenizer/jinja/render.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

// A method together with the value that it was taken from.
struct BoundMethod : Callable {
  Value receiver;
  Method method = nullptr;
  Value call(Render& render, Arguments& arguments) const override { return method(render, receiver, arguments); }
};

std::string owner(const Value& object) { return object.is_none() ? "None" : type_name(object) + " object"; }

Value no_attribute(const Value& object, const std::string& name) {
  return Value::undefined("'" + owner(object) + "' has no attribute '" + name + "'");
}

Value no_element(const Value& object, const Value& key) {
  if (key.is_string()) return no_attribute(object, key.text());
  return Value::undefined(owner(object) + " has no element " + to_repr(key));
}

Value unsafe_attribute(const Value& object, const std::string& name) {
  return Value::undefined("access to attribute '" + name + "' of '" + type_name(object) + "' object is unsafe.");
}

// Characters [begin, end) of a text, counted in code points.
std::string characters(const std::string& text, int64_t begin, int64_t end) {
  size_t at = 0, from = text.size();
  for (int64_t i = 0; at < text.size() && i < end; ++i) {
    if (i == begin) from = at;
    next_code_point(text, at);
  }
  return from < at ? text.substr(from, at - from) : "";
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// The bounds of a slice, as Python's slice.indices gives them.
struct Bounds {
  int64_t start, stop, step;
};

Bounds slice_bounds(const Value& start, const Value& stop, const Value& step, int64_t size) {
  auto number = [](const Value& value) {
    if (!value.is_integer()) fail("slice indices must be integers or None or have an __index__ method");
    return value.as_integer();
  };
  Bounds bounds{0, size, step.is_none() ? 1 : number(step)};
  if (bounds.step == 0) fail("slice step cannot be zero");
  bool back = bounds.step < 0;
  int64_t low = back ? -1 : 0, high = back ? size - 1 : size;
  auto place = [&](const Value& value, int64_t fallback) {
    if (value.is_none()) return fallback;
    int64_t at = number(value);
    if (at < 0) at = at < -size ? low : at + size;
    return std::clamp(at, low, high);
  };
  bounds.start = place(start, back ? high : low);
  bounds.stop = place(stop, back ? low : high);
  return bounds;
}

}  // namespace

Value Render::evaluate(const Expr& expr) {
  Depth depth(*this);
  spend();
  switch (expr.kind) {
    case Expr::Kind::kConst: return expr.constant;
    case Expr::Kind::kName: return evaluate_name(expr);
    case Expr::Kind::kList:
    case Expr::Kind::kTuple: {
      Items items;
      items.reserve(expr.kids.size());
      for (const ExprPtr& kid : expr.kids) items.push_back(evaluate(*kid));
      return make_list(std::move(items), expr.kind == Expr::Kind::kList ? List::Kind::kList : List::Kind::kTuple);
    }
    case Expr::Kind::kDict: return evaluate_dict(expr);
    case Expr::Kind::kNot: return Value::boolean(!truth(evaluate(*expr.kids[0])));
    case Expr::Kind::kNegative:
    case Expr::Kind::kPositive: {
      Value value = evaluate(*expr.kids[0]);
      bool negative = expr.kind == Expr::Kind::kNegative;
      if (value.is_undefined()) fail(value.text());
      if (!value.is_number())
        fail(std::string("bad operand type for unary ") + (negative ? "-" : "+") + ": '" + type_name(value) + "'");
      if (value.is_integer()) return Value::integer(negative ? -value.as_integer() : value.as_integer());
      return Value::number(negative ? -value.as_double() : value.as_double());
    }
    case Expr::Kind::kAnd: {
      Value left = evaluate(*expr.kids[0]);
      return truth(left) ? evaluate(*expr.kids[1]) : left;
    }
    case Expr::Kind::kOr: {
      Value left = evaluate(*expr.kids[0]);
      return truth(left) ? left : evaluate(*expr.kids[1]);
    }
    case Expr::Kind::kBinary: return evaluate_binary(expr);
    case Expr::Kind::kCompare: return evaluate_compare(expr);
    case Expr::Kind::kConcat: return evaluate_concat(expr);
    case Expr::Kind::kCondition:
      if (truth(evaluate(*expr.kids[0]))) return evaluate(*expr.kids[1]);
      if (expr.kids[2]) return evaluate(*expr.kids[2]);
      return Value::undefined("the inline if-expression on line " + std::to_string(expr.line) +
                              " evaluated to false and no else section was defined.");
    case Expr::Kind::kAttribute: return attribute(evaluate(*expr.kids[0]), expr);
    case Expr::Kind::kItem: return evaluate_item(expr);
    case Expr::Kind::kCall: return evaluate_call(expr);
    case Expr::Kind::kFilter: return evaluate_filter(expr, nullptr);
    case Expr::Kind::kTest: return Value::boolean(evaluate_test(expr) != expr.negated);
    case Expr::Kind::kSlice: break;
  }
  fail("a slice is only possible inside brackets");
}

const Value* Render::look_up(int name) const {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    for (const auto& [id, value] : scope->variables) {
      if (id == name) return &value;
    }
  }
  return root_set_[static_cast<size_t>(name)] ? &root_[static_cast<size_t>(name)] : nullptr;
}

Value Render::evaluate_name(const Expr& expr) {
  if (const Value* value = look_up(expr.name)) return *value;
  return expr.global != nullptr ? *expr.global : expr.constant;
}

std::optional<Value> Render::evaluate_sum(const Expr& expr, std::string& text) {
  constexpr size_t kMost = 16;  // the rest of a longer sum is the first of these
  const Expr* sums[kMost];
  size_t count = 0;
  const Expr* first = &expr;
  while (count < kMost && first->kind == Expr::Kind::kBinary && first->binary == BinaryOp::kAdd) {
    sums[count++] = first;
    first = first->kids[0].get();
  }
  spend(static_cast<int64_t>(count));
  const auto is_plain = [](const Value& value) { return value.is_string() && !value.is_markup(); };
  const size_t begin = text.size();
  bool joined = false;
  Value left = evaluate(*first);
  while (count > 0) {
    const Expr& sum = *sums[--count];
    const Value right = evaluate(*sum.kids[1]);
    line_ = sum.line;
    if ((joined || is_plain(left)) && is_plain(right)) {
      if (!joined) text += left.text();
      joined = true;
      text += right.text();
      check_size(text);
      continue;
    }
    if (joined) {
      left = make_text(text.substr(begin));
      text.resize(begin);
      joined = false;
    }
    left = binary(*this, BinaryOp::kAdd, left, right);
  }
  if (joined) return std::nullopt;
  return left;
}

Value Render::evaluate_binary(const Expr& expr) {
  if (expr.binary == BinaryOp::kAdd) {
    std::string text;
    std::optional<Value> value = evaluate_sum(expr, text);
    return value ? std::move(*value) : make_text(std::move(text));
  }
  Value left = evaluate(*expr.kids[0]);
  Value right = evaluate(*expr.kids[1]);
  line_ = expr.line;
  return binary(*this, expr.binary, left, right);
}

Value Render::evaluate_compare(const Expr& expr) {
  Value left = evaluate(*expr.kids[0]);
  for (size_t i = 0; i < expr.compares.size(); ++i) {
    Value right = evaluate(*expr.kids[i + 1]);
    line_ = expr.line;
    bool holds = false;
    switch (expr.compares[i]) {
      case CompareOp::kEq: holds = equal(left, right); break;
      case CompareOp::kNe: holds = !equal(left, right); break;
      case CompareOp::kLt: holds = compare(left, right, "<") < 0; break;
      case CompareOp::kLe: holds = compare(left, right, "<=") <= 0; break;
      case CompareOp::kGt: holds = compare(left, right, ">") > 0; break;
      case CompareOp::kGe: holds = compare(left, right, ">=") >= 0; break;
      case CompareOp::kIn: holds = contains(right, left); break;
      case CompareOp::kNotIn: holds = !contains(right, left); break;
    }
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Render::evaluate_concat(const Expr& expr) {
  std::string text;
  for (const ExprPtr& kid : expr.kids) {
    const Value part = evaluate(*kid);
    if (part.is_string()) {
      text += part.text();
    } else {
      text += to_text(part);
    }
    check_size(text);
  }
  return make_text(std::move(text));
}

Value Render::evaluate_dict(const Expr& expr) {
  std::vector<std::pair<Value, Value>> items;
  for (size_t i = 0; i + 1 < expr.kids.size(); i += 2) {
    Value key = evaluate(*expr.kids[i]);
    items.emplace_back(std::move(key), evaluate(*expr.kids[i + 1]));
  }
  return make_dict(std::move(items));
}

Value Render::attribute(const Value& object, const std::string& name) {
  switch (object.type()) {
    case Value::Type::kUndefined: fail(object.text());
    case Value::Type::kNamespace:
      if (const Value* value = object.get<Namespace>().find(name)) return *value;
      return no_attribute(object, name);
    case Value::Type::kLoop: return object.get<LoopRun>().attribute(name);
    default: break;
  }
  bool unsafe = false;
  Method method = find_method(object, name, unsafe);
  if (method != nullptr && !unsafe) {
    auto bound = make_object<BoundMethod>();
    bound->receiver = object;
    bound->method = method;
    return Value::object(Value::Type::kCallable, bound);
  }
  if (unsafe) return unsafe_attribute(object, name);
  if (object.is_dict()) {
    if (const Value* value = object.dict().find(std::string_view(name))) return *value;
  }
  return no_attribute(object, name);
}

Value Render::attribute(const Value& object, const Expr& expr) {
  bool unsafe = false;
  if (!object.is_dict() || expr.methods.of(object, unsafe) != nullptr || unsafe) return attribute(object, expr.text);
  const Value* value = object.dict().find(std::string_view(expr.text));
  return value != nullptr ? *value : expr.constant;
}

Value Render::item(const Value& object, const Value& key) {
  if (object.is_undefined()) fail(object.text());
  if (object.is_dict()) {
    bool hashable = !key.is_dict() && !(key.is_list() && key.list().kind == List::Kind::kList);
    if (const Value* value = hashable ? object.dict().find(key) : nullptr) return *value;
  } else if (key.is_integer() && object.is_list() && object.list().is_sequence()) {
    const Items& items = object.list().items;
    int64_t at = key.as_integer(), size = static_cast<int64_t>(items.size());
    if (at < 0) at += size;
    if (at >= 0 && at < size) return items[static_cast<size_t>(at)];
  } else if (key.is_integer() && object.is_string()) {
    const std::string& text = object.text();
    spend_bytes(text.size());
    int64_t at = key.as_integer(), size = length(object);
    if (at < 0) at += size;
    if (at >= 0 && at < size) return make_text(characters(text, at, at + 1), object.is_markup());
  }
  if (!key.is_string()) return no_element(object, key);
  // jinja2 goes on to the attribute of that name: a method, or a field of a namespace.
  if (object.type() == Value::Type::kNamespace || object.type() == Value::Type::kLoop)
    return attribute(object, key.text());
  bool unsafe = false;
  if (find_method(object, key.text(), unsafe) != nullptr || unsafe) return attribute(object, key.text());
  return no_attribute(object, key.text());
}

Value Render::evaluate_item(const Expr& expr) {
  Value object = evaluate(*expr.kids[0]);
  if (expr.kids[1]->kind == Expr::Kind::kSlice) return slice(object, *expr.kids[1]);
  Value key = evaluate(*expr.kids[1]);
  line_ = expr.line;
  return item(object, key);
}

Value Render::slice(const Value& object, const Expr& expr) {
  Value parts[3];
  for (size_t i = 0; i < 3; ++i) {
    if (expr.kids[i]) parts[i] = evaluate(*expr.kids[i]);
  }
  line_ = expr.line;
  if (object.is_undefined()) fail(object.text());
  if (object.is_string()) {
    const std::string& text = object.text();
    spend_bytes(text.size());
    Bounds bounds = slice_bounds(parts[0], parts[1], parts[2], length(object));
    if (bounds.step == 1) {
      if (bounds.stop <= bounds.start) return make_text("", object.is_markup());
      if (is_ascii(text)) {
        return make_text(
            text.substr(static_cast<size_t>(bounds.start), static_cast<size_t>(bounds.stop - bounds.start)),
            object.is_markup());
      }
      return make_text(characters(text, bounds.start, bounds.stop), object.is_markup());
    }
    Items letters = iterate(object);
    std::string out;
    for (int64_t i = bounds.start; bounds.step > 0 ? i < bounds.stop : i > bounds.stop; i += bounds.step) {
      out += letters[static_cast<size_t>(i)].text();
    }
    return make_text(std::move(out), object.is_markup());
  }
  if (!object.is_list() || !object.list().is_sequence())
    fail("'" + type_name(object) + "' object is not subscriptable");
  const Items& items = object.list().items;
  Bounds bounds = slice_bounds(parts[0], parts[1], parts[2], static_cast<int64_t>(items.size()));
  Items out;
  for (int64_t i = bounds.start; bounds.step > 0 ? i < bounds.stop : i > bounds.stop; i += bounds.step) {
    out.push_back(items[static_cast<size_t>(i)]);
  }
  return make_list(std::move(out), object.list().kind);
}

Arguments Render::evaluate_arguments(const CallArguments& parts) {
  Arguments arguments;
  for (const ExprPtr& each : parts.positional) arguments.positional.push_back(evaluate(*each));
  if (parts.star) {
    for (Value& each : iterate(evaluate(*parts.star))) arguments.positional.push_back(std::move(each));
  }
  for (const auto& [name, each] : parts.named) arguments.named.emplace_back(name, evaluate(*each));
  if (parts.double_star) {
    Value more = evaluate(*parts.double_star);
    if (!more.is_dict()) fail("argument after ** must be a mapping, not " + type_name(more));
    for (const auto& [key, value] : more.dict().items) {
      if (!key.is_string()) fail("keywords must be strings");
      arguments.named.emplace_back(key.text(), value);
    }
  }
  return arguments;
}

Value Render::evaluate_call(const Expr& expr) {
  const Expr& callee = *expr.kids[0];
  if (callee.kind == Expr::Kind::kAttribute) {
    Value object = evaluate(*callee.kids[0]);
    bool unsafe = false;
    Method method = callee.methods.of(object, unsafe);
    if (method != nullptr && !unsafe) {  // spares the bound method
      Arguments arguments = evaluate_arguments(expr.arguments);
      line_ = expr.line;
      return method(*this, object, arguments);
    }
    Value function = attribute(object, callee);
    Arguments arguments = evaluate_arguments(expr.arguments);
    line_ = expr.line;
    return call(function, arguments);
  }
  Value function = evaluate(callee);
  Arguments arguments = evaluate_arguments(expr.arguments);
  line_ = expr.line;
  return call(function, arguments);
}

Value Render::call(const Value& callee, Arguments& arguments) {
  if (callee.is_undefined()) fail(callee.text());
  if (callee.type() == Value::Type::kLoop) return callee.get<LoopRun>().call(arguments);
  if (callee.type() != Value::Type::kCallable) fail("'" + type_name(callee) + "' object is not callable");
  return callee.get<Callable>().call(*this, arguments);
}

Value Render::evaluate_filter(const Expr& expr, const Value* body) {
  Depth depth(*this);
  const Expr& inner = *expr.kids[0];
  Value input = inner.kind == Expr::Kind::kConst && body != nullptr ? *body
                : body != nullptr                                   ? evaluate_filter(inner, body)
                                                                    : evaluate(inner);
  if (expr.filter == nullptr) {
    line_ = expr.line;
    fail("No filter named '" + expr.text + "'.");
  }
  Arguments arguments = evaluate_arguments(expr.arguments);
  line_ = expr.line;
  return expr.filter(*this, input, arguments);
}

bool Render::evaluate_test(const Expr& expr) {
  Value input = evaluate(*expr.kids[0]);
  if (expr.test == nullptr) {
    line_ = expr.line;
    fail("No test named '" + expr.text + "'.");
  }
  Arguments arguments = evaluate_arguments(expr.arguments);
  line_ = expr.line;
  return expr.test(*this, input, arguments);
}

}  // namespace masbak::models::jinja
