#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/durable_file.h"
#include "base/located_json.h"
#include "base/text.h"

namespace masbak::base {

struct Fields::Document {
  LocatedJson json;
  std::string file;
  int row_line = 0;  // of a JSON Lines row: the line of everything in it
};

struct Fields::Scope {
  std::shared_ptr<const Document> document;
  const Json* mapping = nullptr;
  std::string pointer;  // of this mapping in the document
  std::string path;     // the same for people: "training.", with its last point, or nothing
  std::set<std::string> known;
  std::map<std::string, std::shared_ptr<Scope>> children;  // so that a child asked for twice is one
};

namespace {

const Json kNull = nullptr;
const Json kEmpty = Json::object();

// What was found, in the words of someone who edits the file.
std::string found(const Json& value) {
  constexpr size_t kShown = 60;
  switch (value.type()) {
    case Json::value_t::null: return "nothing";
    case Json::value_t::boolean: return value.get<bool>() ? "true" : "false";
    case Json::value_t::string: return "the text \"" + shortened(value.get_ref<const std::string&>(), kShown) + "\"";
    case Json::value_t::array: return "a list";
    case Json::value_t::object: return "a mapping";
    default: return "the number " + value.dump();
  }
}

template <typename T>
struct Type;

template <>
struct Type<bool> {
  static constexpr const char* kName = "true or false";
  static std::optional<bool> read(const Json& value) {
    return value.is_boolean() ? std::optional(value.get<bool>()) : std::nullopt;
  }
};

template <>
struct Type<int64_t> {
  static constexpr const char* kName = "an integer";
  static std::optional<int64_t> read(const Json& value) {
    if (!value.is_number_integer()) return std::nullopt;
    if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
    return value.get<int64_t>();
  }
};

template <>
struct Type<double> {
  static constexpr const char* kName = "a number";
  static std::optional<double> read(const Json& value) {
    if (!value.is_number()) return std::nullopt;
    const double number = value.get<double>();
    return std::isfinite(number) ? std::optional(number) : std::nullopt;
  }
};

template <>
struct Type<std::string> {
  static constexpr const char* kName = "a text";
  static std::optional<std::string> read(const Json& value) {
    return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
  }
};

template <>
struct Type<std::vector<std::string>> {
  static constexpr const char* kName = "a list of texts";
};
template <>
struct Type<std::vector<int64_t>> {
  static constexpr const char* kName = "a list of integers";
};
template <>
struct Type<std::vector<double>> {
  static constexpr const char* kName = "a list of numbers";
};

template <typename T>
struct IsList : std::false_type {};
template <typename T>
struct IsList<std::vector<T>> : std::true_type {};

std::string quoted_list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

Fields::Fields(std::shared_ptr<Scope> scope) : scope_(std::move(scope)) {}

namespace {

// Advice for the commonest confusions of types.
std::string hint(const Json& value, const char* wanted) {
  const std::string_view type = wanted;
  if (type == Type<bool>::kName && value.is_string()) return "; write true or false, without quotes";
  if ((type == Type<int64_t>::kName || type == Type<double>::kName) && value.is_string()) {
    return "; write the number without quotes";
  }
  if (type == Type<std::string>::kName && !value.is_structured()) return "; put it in quotes";
  if (type.starts_with("a list") && !value.is_structured()) return "; write it in brackets, as in [a, b]";
  return "";
}

}  // namespace

template <typename T>
T Fields::get(const std::string& key) const {
  const Json& value = raw(key);
  if (value.is_null()) {
    std::vector<std::string> unread;
    for (const std::string& name : keys()) {
      if (!scope_->known.contains(name)) unread.push_back(name);
    }
    const auto near = nearest_name(key, unread);
    fail(key, std::string("expected ") + Type<T>::kName + " under \"" + key + "\", found " +
                  (near ? "only \"" + *near + "\"; correct its spelling" : "nothing; add it"));
  }
  if constexpr (IsList<T>::value) {
    if (value.is_array()) {
      T list;
      for (size_t i = 0; i < value.size(); ++i) {
        const auto item = Type<typename T::value_type>::read(value[i]);
        if (!item) {
          fail(key, std::string("expected ") + Type<T>::kName + ", found " + found(value[i]) + " at position " +
                        std::to_string(i + 1));
        }
        list.push_back(*item);
      }
      return list;
    }
  } else if (const auto read = Type<T>::read(value)) {
    return *read;
  }
  fail(key, std::string("expected ") + Type<T>::kName + ", found " + found(value) + hint(value, Type<T>::kName));
}

template <typename T>
T Fields::get(const std::string& key, T fallback) const {
  return has(key) ? get<T>(key) : fallback;
}

#define MASBAK_INSTANTIATE(T)                          \
  template T Fields::get<T>(const std::string&) const; \
  template T Fields::get<T>(const std::string&, T) const;
MASBAK_INSTANTIATE(bool)
MASBAK_INSTANTIATE(int64_t)
MASBAK_INSTANTIATE(double)
MASBAK_INSTANTIATE(std::string)
MASBAK_INSTANTIATE(std::vector<std::string>)
MASBAK_INSTANTIATE(std::vector<int64_t>)
MASBAK_INSTANTIATE(std::vector<double>)
#undef MASBAK_INSTANTIATE

Fields Fields::read_yaml(const std::filesystem::path& file) { return from_yaml_text(read_file(file), file.string()); }

Fields Fields::from_yaml_text(std::string_view text, const std::string& file) {
  auto document = std::make_shared<Document>();
  document->json = parse_located_yaml(text, file);
  document->file = file;
  // A file of comments alone is a mapping without entries: what is missing is then named one by one.
  if (document->json.value.is_null()) document->json.value = Json::object();
  auto scope = std::make_shared<Scope>();
  scope->document = document;
  scope->mapping = &document->json.value;
  Fields fields(std::move(scope));
  if (!document->json.value.is_object()) {
    fields.fail("", "expected a mapping (key: value) at the top, found " + found(document->json.value));
  }
  return fields;
}

Fields Fields::read_json(const std::filesystem::path& file) {
  auto document = std::make_shared<Document>();
  document->json = parse_located_json(read_file(file), file.string());
  document->file = file.string();
  auto scope = std::make_shared<Scope>();
  scope->document = document;
  scope->mapping = &document->json.value;
  Fields fields(std::move(scope));
  if (!document->json.value.is_object()) {
    fields.fail("", "expected a JSON object, found " + found(document->json.value));
  }
  return fields;
}

Fields Fields::from_json(const Json& json, const std::string& file, int line) {
  auto document = std::make_shared<Document>();
  document->json.value = json;
  document->file = file;
  document->row_line = line;
  auto scope = std::make_shared<Scope>();
  scope->document = document;
  scope->mapping = &document->json.value;
  Fields fields(std::move(scope));
  if (!json.is_object()) fields.fail("", "expected a JSON object, found " + found(json));
  return fields;
}

bool Fields::has(const std::string& key) const { return !raw(key).is_null(); }

const Json& Fields::raw(const std::string& key) const {
  scope_->known.insert(key);
  const auto entry = scope_->mapping->find(key);
  return entry == scope_->mapping->end() ? kNull : *entry;
}

Fields Fields::child(const std::string& key) const {
  const Json& value = raw(key);
  if (!value.is_null() && !value.is_object()) {
    fail(key, "expected a mapping (key: value), found " + found(value));
  }
  std::shared_ptr<Scope>& child = scope_->children[key];
  if (!child) {
    child = std::make_shared<Scope>();
    child->document = scope_->document;
    child->mapping = value.is_null() ? &kEmpty : &value;
    child->pointer = pointer_append(scope_->pointer, key);
    child->path = scope_->path + key + ".";
  }
  return Fields(child);
}

Fields Fields::require_child(const std::string& key) const {
  if (!has(key)) fail(key, "expected a mapping under \"" + key + "\", found nothing; add it");
  return child(key);
}

void Fields::accept(std::initializer_list<std::string> keys) const { scope_->known.insert(keys.begin(), keys.end()); }

void Fields::finish() const {
  std::vector<std::string> unknown;
  for (const std::string& key : keys()) {
    if (!scope_->known.contains(key)) unknown.push_back(key);
  }
  if (unknown.empty()) return;
  const std::vector<std::string> known(scope_->known.begin(), scope_->known.end());
  std::string message = "unknown key \"" + unknown[0] + "\"";
  if (const auto near = nearest_name(unknown[0], known)) {
    message += "; did you mean \"" + *near + "\"?";
  } else if (known.empty()) {
    message += "; no keys are expected here";
  } else {
    message += "; known here: " + quoted_list(known);
  }
  if (unknown.size() > 1) {
    message += " (also unknown: " + quoted_list({unknown.begin() + 1, unknown.end()}) + ")";
  }
  fail(unknown[0], message);
}

void Fields::fail(const std::string& key, const std::string& message) const { fail_input(message, where(key)); }

Where Fields::where(const std::string& key) const {
  const Document& document = *scope_->document;
  Where where{.file = document.file, .line = document.row_line, .field = scope_->path + key};
  if (where.field.ends_with('.')) where.field.pop_back();
  if (where.line > 0) return where;
  // A missing key has no line of its own: its mapping's, or that of the nearest mapping above that exists.
  std::string pointer = key.empty() ? scope_->pointer : pointer_append(scope_->pointer, key);
  for (;;) {
    const auto line = document.json.lines.find(pointer);
    if (line != document.json.lines.end()) {
      where.line = line->second;
      return where;
    }
    if (pointer.empty()) return where;
    pointer.erase(pointer.rfind('/'));
  }
}

const Json& Fields::json() const { return *scope_->mapping; }

std::vector<std::string> Fields::keys() const {
  std::vector<std::string> names;
  for (const auto& entry : scope_->mapping->items()) names.push_back(entry.key());
  return names;
}

}  // namespace masbak::base
