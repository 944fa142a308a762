#include "models/tokenizer/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

constexpr size_t kIndexFrom = 8;

int depth_of(const Value& value) {
  if (value.is_list()) return value.list().depth;
  if (value.is_dict()) return value.dict().depth;
  return 0;
}

void check_hashable(const Value& key) {
  const bool mutable_list = key.is_list() && key.list().kind == List::Kind::kList;
  if (key.is_dict() || mutable_list) fail("unhashable type: '" + type_name(key) + "'");
}

}  // namespace

void Work::fail_past(int64_t most) { throw LimitError{"it takes more than " + std::to_string(most) + " steps"}; }

void Work::spend_bytes(size_t bytes) { spend(static_cast<int64_t>(bytes / 1024)); }

void Work::spend_search(size_t text, size_t wanted) { spend(static_cast<int64_t>(text / 1024 * (1 + wanted / 16))); }

void check_value_depth(int depth) {
  if (depth > kDeepestValue) throw LimitError{"a value nests more than " + std::to_string(kDeepestValue) + " deep"};
}

void fail(const std::string& message) { throw TemplateError{message}; }

Value Value::number(double value) {
  Value result(Type::kFloat, int64_t{0});
  result.double_ = value;
  return result;
}

Value Value::string(std::string text, bool markup) {
  auto object = make_object<Text>();
  object->text = std::move(text);
  Value result(Type::kString, object.get());
  result.markup_ = markup;
  return result;
}

Value Value::big_integer(std::string digits) {
  auto object = make_object<Text>();
  object->text = std::move(digits);
  return Value(Type::kBigInt, object.get());
}

Value Value::undefined(std::string message) {
  auto object = make_object<Text>();
  object->text = std::move(message);
  return Value(Type::kUndefined, object.get());
}

Pins::~Pins() {
  // Lists and dicts let go of what is in them while all of it is still there.
  for (Object* object : objects_) {
    if (auto* list = dynamic_cast<List*>(object)) {
      list->items.clear();
    } else if (auto* dict = dynamic_cast<Dict*>(object)) {
      dict->index.clear();
      dict->items.clear();
    }
  }
  for (const Object* object : objects_) delete object;
}

void Pins::pin(const Value& value) {
  Object* object = value.pointer();
  if (object == nullptr || object->pinned) return;
  object->pinned = true;
  objects_.push_back(object);
  if (value.is_list()) {
    for (const Value& item : value.list().items) pin(item);
  } else if (value.is_dict()) {
    for (const auto& [key, item] : value.dict().items) {
      pin(key);
      pin(item);
    }
  }
}

const Value* Dict::find(std::string_view key) const {
  if (!index.empty()) {
    auto found = index.find(key);
    return found == index.end() ? nullptr : &items[found->second].second;
  }
  for (const auto& [name, value] : items) {
    if (name.is_string() && name.text() == key) return &value;
  }
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  if (key.is_string()) return find(std::string_view(key.text()));
  check_hashable(key);
  for (const auto& [name, value] : items) {
    if (equal(name, key)) return &value;
  }
  return nullptr;
}

const Value* Namespace::find(std::string_view key) const {
  for (const auto& [name, value] : items) {
    if (name == key) return &value;
  }
  return nullptr;
}

void Namespace::set(const std::string& key, Value value) {
  for (auto& [name, old] : items) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  items.emplace_back(key, std::move(value));
}

const Value* Arguments::find(size_t position, std::string_view name) const {
  if (position < positional.size()) return &positional[position];
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

bool Arguments::flag(size_t position, std::string_view name) const {
  const Value* value = find(position, name);
  return value != nullptr && truth(*value);
}

void Arguments::check(const char* callee, size_t count, std::initializer_list<std::string_view> names) const {
  if (positional.size() > count) {
    fail(std::string(callee) + "() takes at most " + std::to_string(count) + " arguments (" +
         std::to_string(positional.size()) + " given)");
  }
  for (const auto& [key, value] : named) {
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      fail(std::string(callee) + "() got an unexpected keyword argument '" + key + "'");
    }
  }
}

Value make_list(Items items, List::Kind kind) {
  Work::spend(static_cast<int64_t>(items.size()));
  auto list = make_object<List>();
  list->kind = kind;
  for (const Value& item : items) list->depth = std::max(list->depth, depth_of(item) + 1);
  check_value_depth(list->depth);
  list->items = std::move(items);
  return Value::object(Value::Type::kList, list);
}

Value make_dict(std::vector<std::pair<Value, Value>> items) {
  Work::spend(static_cast<int64_t>(items.size()));
  auto dict = make_object<Dict>();
  const bool indexed = items.size() > kIndexFrom;
  size_t kept = 0;
  const auto earlier = [&](const Value& key) -> Value* {
    if (indexed && key.is_string()) {
      auto found = dict->index.find(key.text());
      return found == dict->index.end() ? nullptr : &items[found->second].second;
    }
    for (size_t i = 0; i < kept; ++i) {
      const Value& other = items[i].first;
      const bool alike = key.is_string() ? other.is_string() && other.text() == key.text() : equal(other, key);
      if (alike) return &items[i].second;
    }
    return nullptr;
  };
  for (auto& item : items) {
    dict->depth = std::max(dict->depth, depth_of(item.second) + 1);
    check_hashable(item.first);
    if (Value* old = earlier(item.first)) {
      *old = std::move(item.second);
      continue;
    }
    if (&items[kept] != &item) items[kept] = std::move(item);
    // The view stays good: the text lives behind a pointer that the pair holds.
    if (indexed && items[kept].first.is_string()) dict->index.emplace(items[kept].first.text(), kept);
    ++kept;
  }
  items.resize(kept);
  dict->items = std::move(items);
  check_value_depth(dict->depth);
  return Value::object(Value::Type::kDict, dict);
}

Value from_json(const base::Json& json, int depth) {
  check_value_depth(depth);
  switch (json.type()) {
    case base::Json::value_t::boolean: return Value::boolean(json.get<bool>());
    case base::Json::value_t::number_integer: return Value::integer(json.get<int64_t>());
    case base::Json::value_t::number_unsigned: {
      uint64_t number = json.get<uint64_t>();
      return number <= INT64_MAX ? Value::integer(static_cast<int64_t>(number))
                                 : Value::big_integer(std::to_string(number));
    }
    case base::Json::value_t::number_float: return Value::number(json.get<double>());
    case base::Json::value_t::string: return Value::string(json.get_ref<const std::string&>());
    case base::Json::value_t::array: {
      Items items;
      items.reserve(json.size());
      for (const base::Json& item : json) items.push_back(from_json(item, depth + 1));
      return make_list(std::move(items));
    }
    case base::Json::value_t::object: {
      std::vector<std::pair<Value, Value>> items;
      items.reserve(json.size());
      for (const auto& [key, value] : json.items()) items.emplace_back(Value::string(key), from_json(value, depth + 1));
      return make_dict(std::move(items));
    }
    default: return Value();
  }
}

bool truth(const Value& value) {
  switch (value.type()) {
    case Value::Type::kUndefined:
    case Value::Type::kNone: return false;
    case Value::Type::kBool:
    case Value::Type::kInt: return value.as_integer() != 0;
    case Value::Type::kFloat: return value.as_double() != 0;
    case Value::Type::kString: return !value.text().empty();
    case Value::Type::kList: return value.list().kind == List::Kind::kGenerator || !value.list().items.empty();
    case Value::Type::kDict: return !value.dict().items.empty();
    default: return true;
  }
}

bool same(const Value& left, const Value& right) {
  if (left.type() != right.type()) return false;
  if (left.is_none()) return true;
  if (left.is_integer()) return left.as_integer() == right.as_integer();
  if (left.is_string()) return left.text() == right.text() && left.is_markup() == right.is_markup();
  if (left.type() == Value::Type::kFloat) return left.as_double() == right.as_double();
  if (left.type() == Value::Type::kBigInt) return left.text() == right.text();
  return left.pointer() == right.pointer();
}

Items iterate(const Value& value) {
  switch (value.type()) {
    case Value::Type::kUndefined: return {};
    case Value::Type::kList: {
      const List& list = value.list();
      if (list.kind == List::Kind::kGenerator) {
        if (list.used) return {};
        list.used = true;
      }
      Work::spend(static_cast<int64_t>(list.items.size() / 8));
      return list.items;
    }
    case Value::Type::kString: {
      Items items;
      const std::string& text = value.text();
      Work::spend(static_cast<int64_t>(text.size()));
      for (size_t at = 0; at < text.size();) {
        size_t begin = at;
        next_code_point(text, at);
        items.push_back(Value::string(text.substr(begin, at - begin)));
      }
      return items;
    }
    case Value::Type::kDict: {
      Items items;
      Work::spend(static_cast<int64_t>(value.dict().items.size() / 8));
      for (const auto& [key, ignored] : value.dict().items) items.push_back(key);
      return items;
    }
    default: fail("'" + type_name(value) + "' object is not iterable");
  }
}

int64_t length(const Value& value) {
  switch (value.type()) {
    case Value::Type::kUndefined: return 0;
    case Value::Type::kString:
      Work::spend_bytes(value.text().size());
      return static_cast<int64_t>(count_code_points(value.text()));
    case Value::Type::kDict: return static_cast<int64_t>(value.dict().items.size());
    case Value::Type::kList:
      if (value.list().kind != List::Kind::kGenerator) return static_cast<int64_t>(value.list().items.size());
      [[fallthrough]];
    default: fail("object of type '" + type_name(value) + "' has no len()");
  }
}

bool is_python_space(char32_t point) { return is_white_space(point) || (point >= 0x1C && point <= 0x1F); }

}  // namespace masbak::models::jinja
