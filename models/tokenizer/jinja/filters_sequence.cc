// Filters over sequences that treat their items alike.
#include <algorithm>
#include <random>

#include "models/tokenizer/jinja/filters.h"
#include "models/tokenizer/jinja/render.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

Value length_filter(Render& render, const Value& input, Arguments&) {
  if (input.is_string()) render.spend_bytes(input.text().size());
  return Value::integer(length(input));
}

Value first(Render&, const Value& input, Arguments&) {
  if (input.is_list() && input.list().is_sequence() && !input.list().items.empty()) return input.list().items.front();
  Items items = iterate(input);
  return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}

Value last(Render&, const Value& input, Arguments&) {
  bool reversible = input.is_undefined() || input.is_string() || input.is_dict() ||
                    (input.is_list() && input.list().kind != List::Kind::kGenerator);
  if (!reversible) fail("'" + type_name(input) + "' object is not reversible");
  Items items = iterate(input);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value list_filter(Render&, const Value& input, Arguments&) {
  Items items = iterate(input);
  return make_list(std::move(items));
}

Value reverse(Render& render, const Value& input, Arguments&) {
  Items items = iterate(input);
  std::reverse(items.begin(), items.end());
  if (!input.is_string()) return make_list(std::move(items), List::Kind::kGenerator);
  std::string out;
  for (const Value& item : items) out += item.text();
  return render.make_text(std::move(out), input.is_markup());
}

Value items_filter(Render& render, const Value& input, Arguments& arguments) {
  if (input.is_undefined()) return make_list({}, List::Kind::kGenerator);
  if (!input.is_dict()) fail("Can only get item pairs from a mapping.");
  bool unsafe = false;
  return make_list(iterate(find_method(input, "items", unsafe)(render, input, arguments)), List::Kind::kGenerator);
}

// What a sort compares: texts without case unless `case_sensitive`.
Value sort_key(const Value& value, bool case_sensitive) {
  return value.is_string() && !case_sensitive ? Value::string(to_lower(value.text())) : value;
}

struct Keyed {
  Items key;
  Value value;
};

bool before(const Keyed& left, const Keyed& right) {
  for (size_t i = 0; i < left.key.size(); ++i) {
    if (!equal(left.key[i], right.key[i])) return compare(left.key[i], right.key[i], "<") < 0;
  }
  return false;
}

Value attribute_of(Render& render, Value item, const Value& path) {
  if (!path.is_string()) return render.item(item, path);
  const std::string& text = path.text();
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find('.', begin), text.size());
    std::string part = text.substr(begin, end - begin);
    bool number = !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos;
    item = render.item(item, number ? Value::integer(std::stol(part)) : Value::string(part));
    begin = end + 1;
  }
  return item;
}

// Items with the keys that `attribute` ("a.b,c") names, or themselves as the key.
std::vector<Keyed> keyed(Render& render, const Value& input, const Value* attribute, bool case_sensitive) {
  std::vector<Keyed> all;
  for (Value& item : iterate(input)) {
    render.spend();
    Keyed each;
    if (attribute == nullptr || attribute->is_none()) {
      each.key.push_back(sort_key(item, case_sensitive));
    } else if (!attribute->is_string()) {
      each.key.push_back(sort_key(attribute_of(render, item, *attribute), case_sensitive));
    } else {
      const std::string& names = attribute->text();
      for (size_t begin = 0; begin <= names.size();) {
        size_t end = std::min(names.find(',', begin), names.size());
        each.key.push_back(
            sort_key(attribute_of(render, item, Value::string(names.substr(begin, end - begin))), case_sensitive));
        begin = end + 1;
      }
    }
    each.value = std::move(item);
    all.push_back(std::move(each));
  }
  return all;
}

void sort_keyed(Render& render, std::vector<Keyed>& all, bool descending) {
  render.spend(static_cast<int64_t>(all.size()));
  if (descending) {
    std::stable_sort(all.begin(), all.end(), [](const Keyed& a, const Keyed& b) { return before(b, a); });
  } else {
    std::stable_sort(all.begin(), all.end(), before);
  }
}

// An undefined value cannot be put before or behind another.
void check_order(const std::vector<Keyed>& all) {
  for (const Keyed& each : all) {
    if (all.size() > 1 && each.key[0].is_undefined()) fail(each.key[0].text());
  }
}

Value sort_filter(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("sort", 3, {"reverse", "case_sensitive", "attribute"});
  std::vector<Keyed> all = keyed(render, input, arguments.find(2, "attribute"), arguments.flag(1, "case_sensitive"));
  sort_keyed(render, all, arguments.flag(0, "reverse"));
  Items items;
  for (Keyed& each : all) items.push_back(std::move(each.value));
  return make_list(std::move(items));
}

Value dict_sort(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("dictsort", 3, {"case_sensitive", "by", "reverse"});
  if (input.is_undefined()) fail(input.text());
  if (!input.is_dict()) fail("'" + type_name(input) + "' object has no attribute 'items'");
  const Value* by = arguments.find(1, "by");
  std::string what = by == nullptr ? "key" : to_text(*by);
  if (what != "key" && what != "value") fail("You can only sort by either \"key\" or \"value\"");
  bool case_sensitive = arguments.flag(0, "case_sensitive");
  std::vector<Keyed> all;
  for (const auto& [key, value] : input.dict().items) {
    all.push_back(
        {{sort_key(what == "key" ? key : value, case_sensitive)}, make_list({key, value}, List::Kind::kTuple)});
  }
  sort_keyed(render, all, arguments.flag(2, "reverse"));
  Items items;
  for (Keyed& each : all) items.push_back(std::move(each.value));
  return make_list(std::move(items));
}

template <bool kMax>
Value extreme(Render& render, const Value& input, Arguments& arguments) {
  arguments.check(kMax ? "max" : "min", 2, {"case_sensitive", "attribute"});
  std::vector<Keyed> all = keyed(render, input, arguments.find(1, "attribute"), arguments.flag(0, "case_sensitive"));
  if (all.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  check_order(all);
  const Keyed* best = &all[0];
  for (const Keyed& each : all) {
    if (kMax ? before(*best, each) : before(each, *best)) best = &each;
  }
  return best->value;
}

Value unique(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("unique", 2, {"case_sensitive", "attribute"});
  std::vector<Keyed> all = keyed(render, input, arguments.find(1, "attribute"), arguments.flag(0, "case_sensitive"));
  Items items, seen;
  for (Keyed& each : all) {
    render.spend(static_cast<int64_t>(seen.size() / 4));
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& key) { return equal(key, each.key[0]); })) continue;
    seen.push_back(each.key[0]);
    items.push_back(std::move(each.value));
  }
  return make_list(std::move(items), List::Kind::kGenerator);
}

Value group_by(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("groupby", 3, {"attribute", "default", "case_sensitive"});
  const Value *attribute = arguments.find(0, "attribute"), *fallback = arguments.find(1, "default");
  if (attribute == nullptr) fail("groupby() missing 1 required positional argument: 'attribute'");
  bool case_sensitive = arguments.flag(2, "case_sensitive");
  auto read = [&](const Value& item) {
    Value value = attribute_of(render, item, *attribute);
    return value.is_undefined() && fallback != nullptr ? *fallback : value;
  };
  std::vector<Keyed> all;
  for (Value& item : iterate(input)) all.push_back({{sort_key(read(item), case_sensitive)}, item});
  check_order(all);
  sort_keyed(render, all, false);
  Items groups;
  for (size_t begin = 0; begin < all.size();) {
    size_t end = begin;
    Items members;
    for (; end < all.size() && equal(all[end].key[0], all[begin].key[0]); ++end) members.push_back(all[end].value);
    Value name = read(all[begin].value);
    groups.push_back(make_list({std::move(name), make_list(std::move(members))}, List::Kind::kTuple));
    begin = end;
  }
  return make_list(std::move(groups));
}

Value join(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("join", 2, {"d", "attribute"});
  const Value *separator = arguments.find(0, "d"), *attribute = arguments.find(1, "attribute");
  std::string between = separator == nullptr ? "" : to_text(*separator), out;
  bool any = false;
  for (const Value& item : iterate(input)) {
    render.spend();
    if (any) out += between;
    any = true;
    out +=
        attribute == nullptr || attribute->is_none() ? to_text(item) : to_text(attribute_of(render, item, *attribute));
    check_size(out);
  }
  return render.make_text(std::move(out));
}

Value sum(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("sum", 2, {"attribute", "start"});
  const Value *attribute = arguments.find(0, "attribute"), *start = arguments.find(1, "start");
  Value total = start == nullptr ? Value::integer(0) : *start;
  for (const Value& item : iterate(input)) {
    render.spend();
    bool whole = attribute == nullptr || attribute->is_none();
    total = binary(render, BinaryOp::kAdd, total, whole ? item : attribute_of(render, item, *attribute));
  }
  return total;
}

Value batch(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("batch", 2, {"linecount", "fill_with"});
  const Value *count = arguments.find(0, "linecount"), *fill = arguments.find(1, "fill_with");
  if (count == nullptr) fail("batch() missing 1 required positional argument: 'linecount'");
  size_t size = static_cast<size_t>(std::clamp<int64_t>(integer_argument(*count, "batch"), 1, 100'000));
  Items batches, now;
  auto close = [&] {
    if (!now.empty()) batches.push_back(make_list(std::move(now)));
    now.clear();
  };
  for (Value& item : iterate(input)) {
    render.spend();
    if (now.size() == size) close();
    now.push_back(std::move(item));
  }
  while (!now.empty() && fill != nullptr && !fill->is_none() && now.size() < size) now.push_back(*fill);
  close();
  return make_list(std::move(batches), List::Kind::kGenerator);
}

Value slice_filter(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("slice", 2, {"slices", "fill_with"});
  const Value *count = arguments.find(0, "slices"), *fill = arguments.find(1, "fill_with");
  if (count == nullptr) fail("slice() missing 1 required positional argument: 'slices'");
  int64_t slices = integer_argument(*count, "slice");
  if (slices < 1 || slices > 100'000) fail("slice() needs 1 to 100000 slices");
  Items items = iterate(input), columns;
  render.spend(static_cast<int64_t>(items.size()) + slices);
  int64_t size = static_cast<int64_t>(items.size()) / slices, longer = static_cast<int64_t>(items.size()) % slices;
  size_t at = 0;
  for (int64_t i = 0; i < slices; ++i) {
    Items column;
    for (int64_t k = 0; k < size + (i < longer); ++k) column.push_back(items[at++]);
    if (fill != nullptr && !fill->is_none() && i >= longer) column.push_back(*fill);
    columns.push_back(make_list(std::move(column)));
  }
  return make_list(std::move(columns), List::Kind::kGenerator);
}

Value attr(Render& render, const Value& input, Arguments& arguments) {
  if (arguments.positional.size() != 1) fail("attr() takes exactly one argument");
  const std::string& name = string_argument(arguments.positional[0], "attr");
  bool unsafe = false;
  bool method = find_method(input, name, unsafe) != nullptr || unsafe;
  if (input.is_dict() && !method) return Value::undefined("'dict object' has no attribute '" + name + "'");
  return render.attribute(input, name);
}

Value random_item(Render&, const Value& input, Arguments&) {
  Items items = iterate(input);
  if (items.empty()) return Value::undefined("No random item, sequence was empty.");
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return items[std::uniform_int_distribution<size_t>(0, items.size() - 1)(generator)];
}

}  // namespace

const FilterTable& sequence_filters() {
  static const FilterTable table = {{"length", length_filter},
                                    {"count", length_filter},
                                    {"first", first},
                                    {"last", last},
                                    {"list", list_filter},
                                    {"reverse", reverse},
                                    {"items", items_filter},
                                    {"sort", sort_filter},
                                    {"dictsort", dict_sort},
                                    {"min", extreme<false>},
                                    {"max", extreme<true>},
                                    {"unique", unique},
                                    {"groupby", group_by},
                                    {"join", join},
                                    {"sum", sum},
                                    {"batch", batch},
                                    {"slice", slice_filter},
                                    {"attr", attr},
                                    {"random", random_item}};
  return table;
}

}  // namespace masbak::models::jinja
