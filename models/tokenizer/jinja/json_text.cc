// json.dumps, as the tojson filter of transformers calls it.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "models/tokenizer/jinja/json_reader.h"
#include "models/tokenizer/jinja/render.h"

namespace masbak::models::jinja {
namespace {

class Writer {
 public:
  Writer(bool ascii, std::optional<std::string> indent, std::string item, std::string key, bool sort)
      : ascii_(ascii), indent_(std::move(indent)), item_(std::move(item)), key_(std::move(key)), sort_(sort) {}

  void write(const Value& value, int depth) {
    check_size(out_);
    switch (value.type()) {
      case Value::Type::kNone: out_ += "null"; return;
      case Value::Type::kBool: out_ += value.as_integer() != 0 ? "true" : "false"; return;
      case Value::Type::kInt: out_ += std::to_string(value.as_integer()); return;
      case Value::Type::kBigInt: out_ += value.text(); return;
      case Value::Type::kFloat: out_ += number(value.as_double()); return;
      case Value::Type::kString: append_json_string(out_, value.text(), ascii_); return;
      case Value::Type::kDict: write_dict(value.dict(), depth); return;
      case Value::Type::kList:
        if (value.list().kind <= List::Kind::kTuple) {
          write_list(value.list(), depth);
          return;
        }
        [[fallthrough]];
      default: fail("Object of type " + type_name(value) + " is not JSON serializable");
    }
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return double_repr(value);
  }

  void new_line(int depth) {
    if (!indent_) return;
    out_ += '\n';
    for (int i = 0; i < depth; ++i) out_ += *indent_;
  }

  void write_list(const List& list, int depth) {
    out_ += '[';
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_ += item_;
      new_line(depth + 1);
      write(list.items[i], depth + 1);
    }
    if (!list.items.empty()) new_line(depth);
    out_ += ']';
  }

  void write_key(const Value& key) {
    if (key.is_string()) {
      append_json_string(out_, key.text(), ascii_);
      return;
    }
    std::string text;
    if (key.is_none()) {
      text = "null";
    } else if (key.is_bool()) {
      text = key.as_integer() != 0 ? "true" : "false";
    } else if (key.is_integer()) {
      text = std::to_string(key.as_integer());
    } else if (key.is_number()) {
      text = number(key.as_double());
    } else if (key.type() == Value::Type::kBigInt) {
      text = key.text();
    } else {
      fail("keys must be str, int, float, bool or None, not " + type_name(key));
    }
    append_json_string(out_, text, ascii_);
  }

  void write_item(const std::pair<Value, Value>& item, bool first, int depth) {
    if (!first) out_ += item_;
    new_line(depth + 1);
    write_key(item.first);
    out_ += key_;
    write(item.second, depth + 1);
  }

  void write_dict(const Dict& dict, int depth) {
    out_ += '{';
    bool first = true;
    if (sort_) {
      std::vector<const std::pair<Value, Value>*> items;
      for (const auto& item : dict.items) items.push_back(&item);
      std::stable_sort(items.begin(), items.end(),
                       [](const auto* a, const auto* b) { return compare(a->first, b->first, "<") < 0; });
      for (const auto* item : items) write_item(*item, std::exchange(first, false), depth);
    } else {
      for (const auto& item : dict.items) write_item(item, std::exchange(first, false), depth);
    }
    if (!first) new_line(depth);
    out_ += '}';
  }

  bool ascii_;
  std::optional<std::string> indent_;
  std::string item_, key_;
  bool sort_;
  std::string out_;
};

}  // namespace

std::string to_json_text(const Value& value, bool ascii, const Value& indent, std::string item_separator,
                         std::string key_separator, bool sort_keys) {
  std::optional<std::string> step;
  if (indent.is_integer())
    step = std::string(static_cast<size_t>(std::clamp<int64_t>(indent.as_integer(), 0, 1000)), ' ');
  if (indent.is_string()) step = indent.text();
  Writer writer(ascii, std::move(step), std::move(item_separator), std::move(key_separator), sort_keys);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace masbak::models::jinja
