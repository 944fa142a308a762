// The methods of lists, tuples and dicts. Those that would change them are refused, as in the sandbox of
// transformers.
#include "models/tokenizer/jinja/methods.h"

#include <algorithm>
#include <unordered_set>

namespace masbak::models::jinja {
namespace {

Value dict_get(Render&, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty() || arguments.positional.size() > 2 || !arguments.named.empty()) {
    fail("get expected 1 or 2 arguments, got " + std::to_string(arguments.positional.size()));
  }
  const Value* found = self.dict().find(arguments.positional[0]);
  if (found != nullptr) return *found;
  return arguments.positional.size() == 2 ? arguments.positional[1] : Value();
}

template <List::Kind kKind>
Value dict_view(Render&, const Value& self, Arguments& arguments) {
  arguments.check("dict.items, keys or values", 0);
  Items items;
  for (const auto& [key, value] : self.dict().items) {
    if (kKind == List::Kind::kKeys) {
      items.push_back(key);
    } else if (kKind == List::Kind::kValues) {
      items.push_back(value);
    } else {
      items.push_back(make_list({key, value}, List::Kind::kTuple));
    }
  }
  return make_list(std::move(items), kKind);
}

Value copy(Render&, const Value& self, Arguments& arguments) {
  arguments.check("copy", 0);
  return self;  // nothing can change either of them
}

Value list_index(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty()) fail("index expected at least 1 argument, got 0");
  const Items& items = self.list().items;
  render.spend(static_cast<int64_t>(items.size()));
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(items[i], arguments.positional[0])) return Value::integer(static_cast<int64_t>(i));
  }
  fail(to_repr(arguments.positional[0]) + " is not in list");
}

Value list_count(Render& render, const Value& self, Arguments& arguments) {
  if (arguments.positional.size() != 1) fail("count() takes exactly one argument");
  const Items& items = self.list().items;
  render.spend(static_cast<int64_t>(items.size()));
  return Value::integer(std::count_if(items.begin(), items.end(),
                                      [&](const Value& item) { return equal(item, arguments.positional[0]); }));
}

}  // namespace

MethodSet find_methods(std::string_view name) {
  static const MethodTable kDict = {{"get", dict_get},
                                    {"items", dict_view<List::Kind::kItems>},
                                    {"keys", dict_view<List::Kind::kKeys>},
                                    {"values", dict_view<List::Kind::kValues>},
                                    {"copy", copy}};
  static const MethodTable kSequence = {{"index", list_index}, {"count", list_count}};
  static const std::unordered_set<std::string_view> kUnsafeDict = {"clear", "pop", "popitem", "setdefault", "update"};
  static const std::unordered_set<std::string_view> kUnsafeList = {"append", "clear", "pop",    "reverse",
                                                                   "insert", "sort",  "extend", "remove"};
  auto in = [&](const MethodTable& table) {
    auto found = table.find(name);
    return found == table.end() ? nullptr : found->second;
  };
  MethodSet set;
  set.text = in(string_methods());
  set.dict = in(kDict);
  set.sequence = set.list = in(kSequence);
  if (name == "copy") set.list = copy;
  set.unsafe_dict = kUnsafeDict.contains(name);
  set.unsafe_list = kUnsafeList.contains(name);
  return set;
}

Method MethodSet::of(const Value& receiver, bool& unsafe) const {
  if (receiver.is_string()) return text;
  if (receiver.is_dict()) {
    unsafe = unsafe_dict;
    return dict;
  }
  if (!receiver.is_list() || !receiver.list().is_sequence()) return nullptr;
  if (receiver.list().kind != List::Kind::kList) return sequence;
  unsafe = unsafe_list;
  return list;
}

Method find_method(const Value& receiver, const std::string& name, bool& unsafe) {
  return find_methods(name).of(receiver, unsafe);
}

}  // namespace masbak::models::jinja
