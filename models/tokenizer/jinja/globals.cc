// Functions that every template can call.
#include "models/tokenizer/jinja/render.h"

namespace masbak::models::jinja {
namespace {

constexpr int64_t kLongestRange = 100'000;  // jinja2's MAX_RANGE

struct Function : Callable {
  Value (*function)(Render&, Arguments&);
  explicit Function(Value (*function)(Render&, Arguments&)) : function(function) {}
  Value call(Render& render, Arguments& arguments) const override { return function(render, arguments); }
};

Value range(Render&, Arguments& arguments) {
  size_t count = arguments.positional.size();
  if (count < 1 || count > 3 || !arguments.named.empty())
    fail("range expected 1 to 3 arguments, got " + std::to_string(count));
  auto number = [&](size_t i) { return integer_argument(arguments.positional[i], "range"); };
  int64_t start = count == 1 ? 0 : number(0), stop = number(count == 1 ? 0 : 1), step = count == 3 ? number(2) : 1;
  if (step == 0) fail("range() arg 3 must not be zero");
  __int128 span = step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  __int128 size = step > 0 ? step : -static_cast<__int128>(step);
  __int128 length = span <= 0 ? 0 : (span + size - 1) / size;
  if (length > kLongestRange) {
    fail("Range too big. The sandbox blocks ranges larger than MAX_RANGE (" + std::to_string(kLongestRange) + ").");
  }
  Items items;
  for (int64_t i = 0; i < static_cast<int64_t>(length); ++i) items.push_back(Value::integer(start + i * step));
  return make_list(std::move(items), List::Kind::kRange);
}

// The pairs of dict(…) and namespace(…): of a mapping or a list of pairs, then of the named arguments.
std::vector<std::pair<Value, Value>> pairs(const Arguments& arguments, const char* callee) {
  std::vector<std::pair<Value, Value>> items;
  if (arguments.positional.size() > 1) fail(std::string(callee) + " expected at most 1 argument");
  if (!arguments.positional.empty()) {
    const Value& first = arguments.positional[0];
    if (first.is_dict()) {
      items = first.dict().items;
    } else if (first.type() == Value::Type::kNamespace) {
      for (const auto& [key, value] : first.get<Namespace>().items) items.emplace_back(Value::string(key), value);
    } else {
      for (const Value& pair : iterate(first)) {
        Items both = iterate(pair);
        if (both.size() != 2)
          fail("dictionary update sequence element has length " + std::to_string(both.size()) + "; 2 is required");
        items.emplace_back(both[0], both[1]);
      }
    }
  }
  for (const auto& [key, value] : arguments.named) items.emplace_back(Value::string(key), value);
  return items;
}

Value dict(Render&, Arguments& arguments) { return make_dict(pairs(arguments, "dict")); }

Value new_namespace(Render& render, Arguments& arguments) {
  std::vector<std::pair<std::string, Value>> items;
  for (auto& [key, value] : pairs(arguments, "namespace")) {
    std::string name = to_text(key);
    if (name.starts_with('_')) {
      fail("Chat templates cannot store underscore-prefixed attributes on a namespace, but got '" + name +
           "'. Please rename the attribute.");
    }
    items.emplace_back(std::move(name), std::move(value));
  }
  return render.make_namespace(std::move(items));
}

Value raise_exception(Render&, Arguments& arguments) {
  const Value* message = arguments.find(0, "message");
  if (message == nullptr) fail("raise_exception() missing 1 required positional argument: 'message'");
  fail(to_text(*message));
}

Value strftime_now(Render& render, Arguments& arguments) {
  const Value* format = arguments.find(0, "format");
  if (format == nullptr) fail("strftime_now() missing 1 required positional argument: 'format'");
  return render.make_text(local_time(string_argument(*format, "strftime_now")));
}

Value lorem_ipsum(Render&, Arguments&) {
  fail("lipsum() makes up text at random, and so is not there; write the text into the template");
}

// joiner(", "): nothing the first time that it is called, its text from then on.
struct Joiner : Callable {
  std::string separator;
  mutable bool used = false;
  Value call(Render& render, Arguments&) const override {
    bool first = !used;
    used = true;
    return render.make_text(first ? "" : separator);
  }
};

Value joiner(Render&, Arguments& arguments) {
  auto result = make_object<Joiner>();
  const Value* separator = arguments.find(0, "sep");
  result->separator = separator == nullptr ? ", " : to_text(*separator);
  return Value::object(Value::Type::kCallable, result);
}

struct Cycle : Object {
  Items items;
  size_t at = 0;
};

// next() and reset() of a cycler, which is a namespace with these and with `current`.
struct CycleStep : Callable {
  Ref<Cycle> cycle;
  Namespace* space = nullptr;  // lives as long as the rendering
  bool reset = false;
  Value call(Render&, Arguments& arguments) const override {
    arguments.check("cycler.next or reset", 0);
    Value now = cycle->items[cycle->at];
    cycle->at = reset ? 0 : (cycle->at + 1) % cycle->items.size();
    space->set("current", cycle->items[cycle->at]);
    return reset ? Value() : now;
  }
};

Value cycler(Render& render, Arguments& arguments) {
  if (arguments.positional.empty()) fail("at least one item has to be provided");
  if (!arguments.named.empty()) fail("cycler() got an unexpected keyword argument '" + arguments.named[0].first + "'");
  auto cycle = make_object<Cycle>();
  cycle->items = arguments.positional;
  Value result = render.make_namespace({{"current", cycle->items[0]}});
  for (bool reset : {false, true}) {
    auto step = make_object<CycleStep>();
    step->cycle = cycle;
    step->space = &result.get<Namespace>();
    step->reset = reset;
    result.get<Namespace>().set(reset ? "reset" : "next", Value::object(Value::Type::kCallable, step));
  }
  return result;
}

struct Globals {
  Pins pins;
  std::unordered_map<std::string_view, Value> values;
};

// Never freed: all threads read it until the very end.
const Globals* make_globals() {
  auto* globals = new Globals;
  auto add = [&](std::string_view name, Value (*pointer)(Render&, Arguments&)) {
    Value value = Value::object(Value::Type::kCallable, make_object<Function>(pointer));
    globals->pins.pin(value);
    globals->values.emplace(name, std::move(value));
  };
  add("range", range);
  add("dict", dict);
  add("cycler", cycler);
  add("joiner", joiner);
  add("namespace", new_namespace);
  add("raise_exception", raise_exception);
  add("strftime_now", strftime_now);
  add("lipsum", lorem_ipsum);
  return globals;
}

}  // namespace

const Value* find_global(const std::string& name) {
  static const auto& kGlobals = make_globals()->values;
  auto found = kGlobals.find(name);
  return found == kGlobals.end() ? nullptr : &found->second;
}

}  // namespace masbak::models::jinja
