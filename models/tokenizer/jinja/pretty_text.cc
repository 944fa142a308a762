// pprint.pformat.
#include <algorithm>

#include "models/tokenizer/jinja/string_methods.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

constexpr int64_t kPageWidth = 80;

int64_t width_of(std::string_view text) { return static_cast<int64_t>(count_code_points(text)); }

// pprint.pformat: what does not fit in a line is broken up, an item a line, and texts between their words.
class PrettyPrinter {
 public:
  std::string run(const Value& value) {
    write(value, 0, 0, 0);
    return std::move(out_);
  }

 private:
  using Pair = std::pair<Value, Value>;

  static std::vector<const Pair*> sorted(const Dict& dict) {
    std::vector<const Pair*> items;
    for (const Pair& item : dict.items) items.push_back(&item);
    std::stable_sort(items.begin(), items.end(), [](const Pair* a, const Pair* b) {
      try {
        return compare(a->first, b->first, "<") < 0;
      } catch (const TemplateError&) {  // keys of types that have no order
        return type_name(a->first) < type_name(b->first);
      }
    });
    return items;
  }

  // repr() with sorted keys.
  static std::string in_a_line(const Value& value) {
    Work::spend();
    const bool is_list = value.is_list() && value.list().kind <= List::Kind::kTuple;
    if (!value.is_dict() && !is_list) return to_repr(value);
    std::string out;
    if (value.is_dict()) {
      for (const Pair* item : sorted(value.dict())) {
        out += (out.empty() ? "" : ", ") + in_a_line(item->first) + ": " + in_a_line(item->second);
      }
      return "{" + out + "}";
    }
    for (const Value& item : value.list().items) out += (out.empty() ? "" : ", ") + in_a_line(item);
    if (value.list().kind == List::Kind::kList) return "[" + out + "]";
    return "(" + out + (value.list().items.size() == 1 ? ",)" : ")");
  }

  // `behind`: characters that closing brackets add to the last line.
  void write(const Value& value, int64_t indent, int64_t behind, int level) {
    const std::string line = in_a_line(value);
    Work::spend_bytes(line.size());
    check_size(out_);
    if (width_of(line) <= kPageWidth - indent - behind) {
      out_ += line;
    } else if (value.is_dict()) {
      write_dict(value.dict(), indent + 1, behind + 1, level + 1);
    } else if (value.is_list() && value.list().kind <= List::Kind::kTuple) {
      write_list(value.list(), indent + 1, behind + 1, level + 1);
    } else if (value.is_string() && !value.is_markup()) {
      write_text(value.text(), line, indent, behind, level == 0);
    } else {
      out_ += line;
    }
  }

  void new_line(int64_t indent) { out_.append("\n").append(static_cast<size_t>(indent), ' '); }

  void write_dict(const Dict& dict, int64_t indent, int64_t behind, int level) {
    out_ += '{';
    const std::vector<const Pair*> items = sorted(dict);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) {
        out_ += ',';
        new_line(indent);
      }
      const std::string key = in_a_line(items[i]->first);
      out_ += key + ": ";
      write(items[i]->second, indent + width_of(key) + 2, i + 1 == items.size() ? behind : 1, level);
    }
    out_ += '}';
  }

  void write_list(const List& list, int64_t indent, int64_t behind, int level) {
    const bool tuple = list.kind == List::Kind::kTuple, comma = tuple && list.items.size() == 1;
    out_ += tuple ? '(' : '[';
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) {
        out_ += ',';
        new_line(indent);
      }
      write(list.items[i], indent, i + 1 == list.items.size() ? behind + comma : 1, level);
    }
    out_ += comma ? "," : "";
    out_ += tuple ? ')' : ']';
  }

  static std::string quoted(std::string_view text) { return to_repr(Value::string(std::string(text))); }

  // A line of a text, with its end, in parts of a word and the white space behind it.
  static std::vector<std::string_view> words(std::string_view line) {
    std::vector<std::string_view> parts;
    bool space = false;
    size_t begin = 0;
    for (size_t at = 0; at < line.size();) {
      const size_t here = at;
      const bool now = is_python_space(next_code_point(line, at));
      if (space && !now) {
        parts.push_back(line.substr(begin, here - begin));
        begin = here;
      }
      space = now;
    }
    if (begin < line.size()) parts.push_back(line.substr(begin));
    return parts;
  }

  void write_text(const std::string& text, const std::string& whole, int64_t indent, int64_t behind, bool outermost) {
    if (outermost) {
      ++indent;
      ++behind;
    }
    std::vector<std::string> chunks;
    const std::vector<std::string_view> lines = lines_of(text);
    for (size_t i = 0; i < lines.size(); ++i) {
      const bool last_line = i + 1 == lines.size();
      const std::string line = quoted(lines[i]);
      if (width_of(line) <= kPageWidth - indent - (last_line ? behind : 0)) {
        chunks.push_back(line);
        continue;
      }
      const std::vector<std::string_view> parts = words(lines[i]);
      std::string current;
      for (size_t j = 0; j < parts.size(); ++j) {
        const std::string candidate = current + std::string(parts[j]);
        const int64_t room = kPageWidth - indent - (last_line && j + 1 == parts.size() ? behind : 0);
        Work::spend_bytes(candidate.size());
        if (width_of(quoted(candidate)) <= room) {
          current = candidate;
          continue;
        }
        if (!current.empty()) chunks.push_back(quoted(current));
        current = parts[j];
      }
      if (!current.empty()) chunks.push_back(quoted(current));
    }
    if (chunks.size() == 1) {
      out_ += whole;
      return;
    }
    out_ += outermost ? "(" : "";
    for (size_t i = 0; i < chunks.size(); ++i) {
      if (i > 0) new_line(indent);
      out_ += chunks[i];
    }
    out_ += outermost ? ")" : "";
  }

  std::string out_;
};

}  // namespace

std::string pretty_text(const Value& value) { return PrettyPrinter().run(value); }

}  // namespace masbak::models::jinja
