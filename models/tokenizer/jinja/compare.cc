// Equality, order and membership of values.
#include <algorithm>
#include <cmath>

#include "models/tokenizer/jinja/value.h"

namespace masbak::models::jinja {
namespace {

void check_nesting(int depth) {
  Work::spend();
  if (depth > kDeepestValue)
    throw LimitError{"a comparison nests more than " + std::to_string(kDeepestValue) + " deep"};
}

bool equal_lists(const List& left, const List& right, int depth) {
  if (left.kind != right.kind || left.kind == List::Kind::kGenerator) return &left == &right;
  if (left.items.size() != right.items.size()) return false;
  for (size_t i = 0; i < left.items.size(); ++i) {
    if (!equal(left.items[i], right.items[i], depth + 1)) return false;
  }
  return true;
}

bool equal_dicts(const Dict& left, const Dict& right, int depth) {
  if (left.items.size() != right.items.size()) return false;
  for (const auto& [key, value] : left.items) {
    const Value* other = right.find(key);
    if (other == nullptr || !equal(value, *other, depth + 1)) return false;
  }
  return true;
}

}  // namespace

bool equal(const Value& left, const Value& right, int depth) {
  check_nesting(depth);
  if (left.is_number() && right.is_number()) {
    if (left.is_integer() && right.is_integer()) return left.as_integer() == right.as_integer();
    return left.as_double() == right.as_double();
  }
  if (left.type() != right.type()) return false;
  switch (left.type()) {
    case Value::Type::kBigInt: return left.text() == right.text();
    case Value::Type::kUndefined:
    case Value::Type::kNone: return true;
    case Value::Type::kString:
      if (left.text().size() != right.text().size()) return false;
      Work::spend_bytes(left.text().size());
      return left.text() == right.text();
    case Value::Type::kList: return equal_lists(left.list(), right.list(), depth);
    case Value::Type::kDict: return equal_dicts(left.dict(), right.dict(), depth);
    default: return left.pointer() == right.pointer();
  }
}

int compare(const Value& left, const Value& right, const char* sign, int depth) {
  check_nesting(depth);
  if (left.is_undefined()) fail(left.text());
  if (right.is_undefined()) fail(right.text());
  if (left.is_number() && right.is_number()) {
    if (left.is_integer() && right.is_integer()) {
      return left.as_integer() < right.as_integer() ? -1 : left.as_integer() > right.as_integer();
    }
    return left.as_double() < right.as_double() ? -1 : left.as_double() > right.as_double();
  }
  if (left.type() == Value::Type::kBigInt || right.type() == Value::Type::kBigInt) {
    fail("integers past 64 bits cannot be put in order here");
  }
  if (left.is_string() && right.is_string()) {
    Work::spend_bytes(std::min(left.text().size(), right.text().size()));
    return left.text().compare(right.text());  // UTF-8 keeps the order
  }
  if (left.is_list() && right.is_list() && left.list().kind == right.list().kind && left.list().is_sequence()) {
    const Items &a = left.list().items, &b = right.list().items;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (!equal(a[i], b[i], depth + 1)) return compare(a[i], b[i], sign, depth + 1);
    }
    return a.size() < b.size() ? -1 : a.size() > b.size();
  }
  fail(std::string("'") + sign + "' not supported between instances of '" + type_name(left) + "' and '" +
       type_name(right) + "'");
}

bool contains(const Value& container, const Value& item) {
  switch (container.type()) {
    case Value::Type::kUndefined: return false;
    case Value::Type::kString:
      if (!item.is_string()) fail("'in <string>' requires string as left operand, not " + type_name(item));
      Work::spend_search(container.text().size(), item.text().size());
      return container.text().find(item.text()) != std::string::npos;
    case Value::Type::kDict: return container.dict().find(item) != nullptr;
    case Value::Type::kList: {
      const List& list = container.list();
      if (list.kind == List::Kind::kGenerator) {
        if (list.used) return false;
        list.used = true;
      }
      return std::any_of(list.items.begin(), list.items.end(), [&](const Value& each) { return equal(each, item); });
    }
    default: fail("argument of type '" + type_name(container) + "' is not iterable");
  }
}

}  // namespace masbak::models::jinja
