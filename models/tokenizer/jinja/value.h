// Values of a template, with the semantics of the Python objects that jinja2 would hold. Lists and dicts
// never change once made (transformers renders in jinja2's ImmutableSandboxedEnvironment), and so only a
// namespace can be part of a cycle.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/document.h"

namespace masbak::models::jinja {

// What a template did wrong; the line is added where it is caught.
struct TemplateError {
  std::string message;
};
// A limit was passed.
struct LimitError {
  std::string message;
};
[[noreturn]] void fail(const std::string& message);

constexpr int kDeepestValue = 200;

// Counts the work of the rendering that runs on this thread, since a template is foreign code. Everything
// whose cost grows with a value says here what it cost. Outside of a rendering nothing is counted.
class Work {
 public:
  explicit Work(int64_t most) : most_(most), outer_(std::exchange(current, this)) {}
  ~Work() { current = outer_; }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  // LimitError past the limit. Inline: every node of an expression comes here.
  static void spend(int64_t steps = 1) {
    if (current != nullptr && (current->steps_ += steps) > current->most_) fail_past(current->most_);
  }
  static void spend_bytes(size_t bytes);                 // a pass over a text
  static void spend_search(size_t text, size_t wanted);  // looking for a text in a text

 private:
  [[noreturn]] static void fail_past(int64_t most);

  static constinit inline thread_local Work* current = nullptr;
  int64_t steps_ = 0, most_;
  Work* outer_;
};

constexpr size_t kLongestText = 64u << 20;
// LimitError for a text past kLongestText.
inline void check_size(const std::string& text) {
  if (text.size() > kLongestText) throw LimitError{"a text grew past 64 MiB"};
}

class Value;
using Items = std::vector<Value>;

// What values point to. Counted without atomic operations: the values of a rendering stay on its thread. What
// several threads share, such as the constants of a template, is pinned and no longer counted.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;

  mutable uint32_t references = 0;
  mutable bool pinned = false;
};

inline void retain(const Object* object) {
  if (!object->pinned) ++object->references;
}
inline void release(const Object* object) {
  if (!object->pinned && --object->references == 0) delete object;
}

template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) { retain(object); }
  Ref(const Ref& other) : object_(other.object_) {
    if (object_ != nullptr) retain(object_);
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) release(object_);
  }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  T* get() const { return object_; }

 private:
  T* object_ = nullptr;
};

template <typename T, typename... Parts>
Ref<T> make_object(Parts&&... parts) {
  return Ref<T>(new T(std::forward<Parts>(parts)...));
}

class Value {
 public:
  enum class Type : uint8_t {
    kUndefined,
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kList,
    kDict,
    kNamespace,
    kCallable,
    kLoop,
    kBigInt
  };

  Value() : type_(Type::kNone), integer_(0) {}
  Value(const Value& other) : type_(other.type_), markup_(other.markup_), integer_(other.integer_) {
    if (holds_object()) retain(object_);
  }
  Value(Value&& other) noexcept : type_(other.type_), markup_(other.markup_), integer_(other.integer_) {
    other.type_ = Type::kNone;
  }
  Value& operator=(const Value& other) { return *this = Value(other); }
  Value& operator=(Value&& other) noexcept {
    std::swap(type_, other.type_);
    std::swap(markup_, other.markup_);
    std::swap(integer_, other.integer_);
    return *this;
  }
  ~Value() {
    if (holds_object()) release(object_);
  }
  static Value boolean(bool value) { return Value(Type::kBool, static_cast<int64_t>(value)); }
  static Value integer(int64_t value) { return Value(Type::kInt, value); }
  // An integer past 64 bits, in decimal: it is passed on and printed, but not calculated with.
  static Value big_integer(std::string digits);
  static Value number(double value);
  static Value string(std::string text, bool markup = false);
  template <typename T>
  static Value object(Type type, const Ref<T>& object) {
    return Value(type, object.get());
  }
  // An undefined value; using it fails with `message`.
  static Value undefined(std::string message);

  Type type() const { return type_; }
  bool is_undefined() const { return type_ == Type::kUndefined; }
  bool is_none() const { return type_ == Type::kNone; }
  bool is_bool() const { return type_ == Type::kBool; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_list() const { return type_ == Type::kList; }
  bool is_dict() const { return type_ == Type::kDict; }
  bool is_integer() const { return type_ == Type::kInt || type_ == Type::kBool; }
  bool is_number() const { return is_integer() || type_ == Type::kFloat; }
  bool is_markup() const { return markup_; }

  // Each for its type only.
  int64_t as_integer() const { return integer_; }
  double as_double() const { return type_ == Type::kFloat ? double_ : static_cast<double>(integer_); }
  const std::string& text() const;  // also the message of an undefined value, the digits of a big integer
  const struct List& list() const;
  const struct Dict& dict() const;
  Object* pointer() const { return holds_object() ? object_ : nullptr; }
  template <typename T>
  T& get() const {
    return static_cast<T&>(*object_);
  }

 private:
  Value(Type type, int64_t integer) : type_(type), integer_(integer) {}
  Value(Type type, Object* object) : type_(type), object_(object) { retain(object); }
  bool holds_object() const { return type_ == Type::kUndefined || type_ >= Type::kString; }

  Type type_;
  bool markup_ = false;
  union {
    int64_t integer_;
    double double_;
    Object* object_;
  };
};
static_assert(sizeof(double) == sizeof(int64_t) && sizeof(Object*) == sizeof(int64_t));

struct Text : Object {
  std::string text;
};
inline const std::string& Value::text() const { return get<Text>().text; }

// Every sequence that is no string. A generator is used up by the first loop over it.
struct List : Object {
  enum class Kind : uint8_t { kList, kTuple, kGenerator, kKeys, kValues, kItems, kRange };
  Kind kind = Kind::kList;
  int depth = 1;
  mutable bool used = false;
  Items items;

  bool is_sequence() const { return kind == Kind::kList || kind == Kind::kTuple || kind == Kind::kRange; }
};

struct Dict : Object {
  int depth = 1;
  std::vector<std::pair<Value, Value>> items;
  std::unordered_map<std::string_view, size_t> index;  // string keys, once there are many

  const Value* find(const Value& key) const;  // fails if the key is not hashable
  const Value* find(std::string_view key) const;
};

inline const List& Value::list() const { return get<List>(); }
inline const Dict& Value::dict() const { return get<Dict>(); }

struct Namespace : Object {
  std::vector<std::pair<std::string, Value>> items;
  const Value* find(std::string_view key) const;
  void set(const std::string& key, Value value);
};

class Render;

struct Arguments {
  Items positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument `name`, which is also number `position`; null if it was not given. Marks it as taken.
  const Value* find(size_t position, std::string_view name) const;
  bool flag(size_t position, std::string_view name) const;  // false if it was not given
  // Fails if there are more than `count` positional arguments or a name that is none of `names`.
  void check(const char* callee, size_t count, std::initializer_list<std::string_view> names = {}) const;
};

struct Callable : Object {
  virtual Value call(Render& render, Arguments& arguments) const = 0;
};

// Owns values that several threads may read. What holds them no longer counts them, and must go before this does: in a
// class it is declared first.
class Pins {
 public:
  Pins() = default;
  Pins(Pins&& other) noexcept : objects_(std::exchange(other.objects_, {})) {}
  Pins& operator=(Pins&& other) noexcept {
    std::swap(objects_, other.objects_);
    return *this;
  }
  ~Pins();
  void pin(const Value& value);  // with everything in it

 private:
  std::vector<Object*> objects_;
};

void check_value_depth(int depth);  // LimitError past kDeepestValue
// LimitError if the result would nest deeper than kDeepestValue.
Value make_list(Items items, List::Kind kind = List::Kind::kList);
Value make_dict(std::vector<std::pair<Value, Value>> items);  // a repeated key keeps its place, takes the last value
Value from_json(const base::Json& json, int depth = 0);

bool truth(const Value& value);
bool equal(const Value& left, const Value& right, int depth = 0);
bool same(const Value& left, const Value& right);  // Python's `is`
// Negative, 0 or positive; fails where Python cannot order the two. `sign` is for the message.
int compare(const Value& left, const Value& right, const char* sign, int depth = 0);
bool contains(const Value& container, const Value& item);

std::string to_text(const Value& value);                 // str()
std::string to_repr(const Value& value, int depth = 0);  // repr()
void append_repr(std::string& out, const Value& value, int depth);
std::string double_repr(double value);
std::string type_name(const Value& value);  // Python's name of the type: "str", "dict", …
std::string escape_html(std::string_view text);

// Items to loop over; fails for what Python cannot iterate. Uses a generator up.
Items iterate(const Value& value);
// len(); fails for what has none.
int64_t length(const Value& value);

// str.isspace() and the \s of Python's re.
bool is_python_space(char32_t point);

}  // namespace masbak::models::jinja
