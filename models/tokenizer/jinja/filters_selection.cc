// Filters that apply another filter or a test to each item: map, select, reject and those on attributes.
#include <algorithm>

#include "models/tokenizer/jinja/filters.h"
#include "models/tokenizer/jinja/parser.h"
#include "models/tokenizer/jinja/render.h"

namespace masbak::models::jinja {
namespace {

// jinja2's make_attrgetter: "a.b.0", each part as an element; `fallback` replaces what is undefined.
Value attribute_of(Render& render, Value item, const Value& path, const Value* fallback) {
  auto step = [&](const Value& key) {
    item = render.item(item, key);
    if (item.is_undefined() && fallback != nullptr && !fallback->is_none()) item = *fallback;
  };
  if (!path.is_string()) {
    step(path);
    return item;
  }
  const std::string& text = path.text();
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find('.', begin), text.size());
    std::string part = text.substr(begin, end - begin);
    bool number = !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos;
    step(number ? Value::integer(std::stol(part)) : Value::string(part));
    begin = end + 1;
  }
  return item;
}

Value map(Render& render, const Value& input, Arguments& arguments) {
  Items out;
  if (!truth(input)) return make_list({}, List::Kind::kGenerator);
  const Value* attribute = arguments.positional.empty() ? arguments.find(SIZE_MAX, "attribute") : nullptr;
  if (attribute != nullptr) {
    arguments.check("map", 0, {"attribute", "default"});
    const Value* fallback = arguments.find(SIZE_MAX, "default");
    for (Value& item : iterate(input)) {
      render.spend();
      out.push_back(attribute_of(render, std::move(item), *attribute, fallback));
    }
    return make_list(std::move(out), List::Kind::kGenerator);
  }
  if (arguments.positional.empty()) fail("map requires a filter argument");
  const std::string name = string_argument(arguments.positional[0], "map");
  Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
  for (const Value& item : iterate(input)) {
    render.spend();
    out.push_back(render.apply_filter(name, item, rest));
  }
  return make_list(std::move(out), List::Kind::kGenerator);
}

template <bool kSelect, bool kAttribute>
Value choose(Render& render, const Value& input, Arguments& arguments) {
  if (!truth(input)) return make_list({}, List::Kind::kGenerator);
  size_t used = kAttribute ? 1 : 0;
  if (arguments.positional.size() < used) fail("Missing parameter for attribute name");
  bool tests = arguments.positional.size() > used;
  std::string name = tests ? string_argument(arguments.positional[used], "select") : "";
  Arguments rest;
  if (tests)
    rest = {{arguments.positional.begin() + static_cast<std::ptrdiff_t>(used) + 1, arguments.positional.end()},
            arguments.named};
  Items out;
  for (Value& item : iterate(input)) {
    render.spend();
    Value subject = kAttribute ? attribute_of(render, item, arguments.positional[0], nullptr) : item;
    bool holds = tests ? render.apply_test(name, subject, rest) : truth(subject);
    if (holds == kSelect) out.push_back(std::move(item));
  }
  return make_list(std::move(out), List::Kind::kGenerator);
}

}  // namespace

const FilterTable& selection_filters() {
  static const FilterTable table = {{"map", map},
                                    {"select", choose<true, false>},
                                    {"reject", choose<false, false>},
                                    {"selectattr", choose<true, true>},
                                    {"rejectattr", choose<false, true>}};
  return table;
}

Value Render::apply_filter(const std::string& name, const Value& input, Arguments& arguments) {
  Filter filter = find_filter(name);
  if (filter == nullptr) fail("No filter named '" + name + "'.");
  return filter(*this, input, arguments);
}

bool Render::apply_test(const std::string& name, const Value& input, Arguments& arguments) {
  Test test = find_test(name);
  if (test == nullptr) fail("No test named '" + name + "'.");
  return test(*this, input, arguments);
}

}  // namespace masbak::models::jinja
