#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <unordered_set>

#include "base/durable_file.h"
#include "base/located_json.h"

namespace masbak::base {
namespace {

// Reads the text byte by byte and tells the handler how far the parser has come; nlohmann's SAX
// interface gives no positions of its own.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** position) : at_(at), position_(position) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *position_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator old = *this;
    ++*this;
    return old;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** position_;
};

// Builds the document from parser events. Entries are appended to the ordered mapping directly: its own
// insertion searches from the start each time, which a vocabulary of 128 k entries cannot afford.
class Builder {
 public:
  Builder(std::string_view text, const std::string& file, int first_line, bool want_lines)
      : file_(file),
        start_(text.data()),
        position_(text.data()),
        counted_(text.data()),
        line_(first_line),
        first_line_(first_line),
        end_(text.data() + text.size()),
        want_lines_(want_lines) {}

  const char** position() { return &position_; }
  LocatedJson take() { return std::move(document_); }

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(Json::number_integer_t value) { return add_number(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return add_number(value); }
  bool number_float(Json::number_float_t value, const std::string&) { return add_number(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }

  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    Level& level = levels_.back();
    if (!level.keys.insert(name).second) {
      fail_input("the key \"" + name + "\" appears twice in one object; keep one of them",
                 {.file = file_, .line = current_line(), .field = name});
    }
    level.key = std::move(name);
    level.key_line = want_lines_ ? current_line() : 0;
    return true;
  }

  bool parse_error(size_t byte, const std::string&, const nlohmann::detail::exception& fault) {
    const char* at = std::min(start_ + (byte > 0 ? byte - 1 : 0), end_);
    const int line = first_line_ + static_cast<int>(std::count(start_, at, '\n'));
    if (std::all_of(start_, end_, [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; })) {
      fail_input("expected JSON, found nothing", {.file = file_, .line = line});
    }
    // "[json.exception.parse_error.101] parse error at line 1, column 5: what is wrong": the last part.
    std::string detail = fault.what();
    if (const size_t bracket = detail.find("] "); bracket != std::string::npos) detail.erase(0, bracket + 2);
    if (detail.starts_with("parse error at ")) {
      if (const size_t colon = detail.find(": "); colon != std::string::npos) detail.erase(0, colon + 2);
    }
    fail_input("expected valid JSON, found a fault: " + detail, {.file = file_, .line = line});
  }

 private:
  struct Level {
    Json* container;
    std::string pointer;
    std::unordered_set<std::string> keys;
    std::string key;
    int key_line = 0;
  };

  // The line of the last byte taken. Positions only grow, so each byte is looked at once.
  int current_line(int back = 0) {
    const char* to = position_ - back;
    if (to > counted_) {
      line_ += static_cast<int>(std::count(counted_, to, '\n'));
      counted_ = to;
    }
    return line_;
  }

  template <typename T>
  bool add_number(T value) {
    // The parser has looked one byte past a number, perhaps at a line break.
    place(Json(value), want_lines_ ? current_line(1) : 0);
    return true;
  }

  template <typename T>
  bool add(T&& value) {
    place(Json(std::forward<T>(value)), want_lines_ ? current_line() : 0);
    return true;
  }

  Json* place(Json&& value, int line) {
    if (levels_.empty()) {
      document_.value = std::move(value);
      if (want_lines_) document_.lines[""] = line;
      return &document_.value;
    }
    Level& level = levels_.back();
    if (level.container->is_array()) {
      auto& items = level.container->get_ref<Json::array_t&>();
      items.push_back(std::move(value));
      if (want_lines_) document_.lines[level.pointer + "/" + std::to_string(items.size() - 1)] = line;
      return &items.back();
    }
    auto& entries = level.container->get_ref<Json::object_t&>();
    if (want_lines_) document_.lines[pointer_append(level.pointer, level.key)] = level.key_line;
    entries.emplace_back(std::move(level.key), std::move(value));
    return &entries.back().second;
  }

  bool open(Json&& container) {
    const int line = want_lines_ ? current_line() : 0;
    if (levels_.size() >= static_cast<size_t>(kMaxDocumentDepth)) {
      fail_input("expected at most " + std::to_string(kMaxDocumentDepth) + " nested levels, found more",
                 {.file = file_, .line = current_line()});
    }
    std::string pointer;
    if (want_lines_ && !levels_.empty()) {
      const Level& level = levels_.back();
      pointer = level.container->is_array() ? level.pointer + "/" + std::to_string(level.container->size())
                                            : pointer_append(level.pointer, level.key);
    }
    Json* placed = place(std::move(container), line);
    levels_.push_back({placed, std::move(pointer), {}, {}, 0});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  const std::string& file_;
  const char* start_;
  const char* position_;
  const char* counted_;
  int line_;
  int first_line_;
  const char* end_;
  bool want_lines_;
  LocatedJson document_;
  std::vector<Level> levels_;
};

LocatedJson parse(std::string_view text, const std::string& file, int first_line, bool want_lines) {
  // string_view may point nowhere when empty, and the iterators compare pointers.
  if (text.data() == nullptr) text = "";
  Builder builder(text, file, first_line, want_lines);
  const char** position = builder.position();
  Json::sax_parse(CountingIterator(text.data(), position), CountingIterator(text.data() + text.size(), position),
                  &builder);
  return builder.take();
}

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

std::string pointer_append(const std::string& pointer, std::string_view key) {
  std::string text = pointer + "/";
  for (const char c : key) {
    if (c == '~') {
      text += "~0";
    } else if (c == '/') {
      text += "~1";
    } else {
      text += c;
    }
  }
  return text;
}

Json parse_json(std::string_view text, const std::string& file, int first_line) {
  return parse(text, file, first_line, false).value;
}

LocatedJson parse_located_json(std::string_view text, const std::string& file, int first_line) {
  return parse(text, file, first_line, true);
}

Json read_json(const std::filesystem::path& file) { return parse_json(read_file(file), file.string()); }

void read_json_lines(const std::filesystem::path& file, const std::function<void(int line, Json&&)>& row,
                     const std::function<void(const Error&)>& bad) {
  const std::unique_ptr<std::FILE, FileCloser> stream(std::fopen(file.c_str(), "re"));
  if (!stream) fail_errno("opening the file", file.string());
  char* buffer = nullptr;
  size_t capacity = 0;
  // getline(3) may move the buffer, so the guard looks at the variable, not at its value now.
  struct Guard {
    char*& buffer;
    ~Guard() { std::free(buffer); }
  } guard{buffer};
  const std::string name = file.string();
  for (int line = 1;; ++line) {
    errno = 0;
    const ssize_t length = ::getline(&buffer, &capacity, stream.get());
    if (length < 0) {
      if (std::ferror(stream.get()) != 0 || errno != 0) fail_errno("reading the file", name);
      return;
    }
    // Without its line break, so that a fault at the end of a row is on this line, not the next.
    std::string_view text(buffer, static_cast<size_t>(length));
    const size_t last = text.find_last_not_of(" \t\r\n");
    if (last == std::string_view::npos) continue;
    text = text.substr(0, last + 1);
    Json value;
    try {
      value = parse_json(text, name, line);
    } catch (const Error& error) {
      if (!bad) throw;
      bad(error);
      continue;
    }
    row(line, std::move(value));
  }
}

}  // namespace masbak::base
