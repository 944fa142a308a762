#include "models/tokenizer/chat_context.h"

#include <algorithm>
#include <iterator>

#include "models/tokenizer/jinja/json_reader.h"
#include "models/tokenizer/jinja/string_methods.h"

namespace masbak::models {
namespace {

using jinja::Items;
using jinja::Value;
using Pairs = std::vector<std::pair<Value, Value>>;

constexpr std::string_view kReasoningNames[] = {"reasoning_content", "thinking", "reasoning"};

void set(Pairs& pairs, std::string_view key, const Value& value) {
  for (auto& [name, old] : pairs) {
    if (!name.is_string() || name.text() != key) continue;
    old = value;
    return;
  }
  pairs.emplace_back(Value::string(std::string(key)), value);
}

// The message without keys that hold null, as transformers' apply_chat_template passes it: many templates would write
// "None" where they cope with a key that is not there (OpenAI's API has content null beside tool calls).
Value without_nulls(const Value& message) {
  const auto& items = message.dict().items;
  const auto is_null = [](const auto& item) { return item.second.is_none(); };
  if (std::none_of(items.begin(), items.end(), is_null)) return message;
  Pairs pairs;
  std::remove_copy_if(items.begin(), items.end(), std::back_inserter(pairs), is_null);
  return jinja::make_dict(std::move(pairs));
}

// transformers 5 passes a message's reasoning under each of the names that templates read.
Value with_reasoning_names(const Value& message) {
  for (std::string_view name : kReasoningNames) {
    const Value* reasoning = message.dict().find(name);
    if (reasoning == nullptr || reasoning->is_none()) continue;
    Pairs pairs = {{Value::string("thinking"), *reasoning}};
    for (const auto& [key, value] : message.dict().items) {
      if (key.is_string() && key.text() == "thinking") {
        pairs[0].second = value;
      } else {
        pairs.emplace_back(key, value);
      }
    }
    set(pairs, "reasoning_content", *reasoning);
    return jinja::make_dict(std::move(pairs));
  }
  return message;
}

std::string shown(const Value& value) {
  std::string text = jinja::to_repr(value);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

Value prepared_messages(const Value& messages) {
  if (!messages.is_list()) {
    base::fail_input("expected a list of messages, found " + jinja::type_name(messages), {.field = "messages"});
  }
  Items result;
  for (const Value& message : messages.list().items) {
    if (!message.is_dict()) {
      base::fail_input("expected a message with role and content, found " + shown(message),
                       {.field = "messages[" + std::to_string(result.size()) + "]"});
    }
    result.push_back(with_reasoning_names(without_nulls(message)));
  }
  return jinja::make_list(std::move(result));
}

void check_objects(const Value& list, const char* field, const char* what) {
  if (list.is_none()) return;
  if (!list.is_list()) {
    base::fail_input(std::string("expected a list of ") + what + ", found " + jinja::type_name(list), {.field = field});
  }
  for (const Value& each : list.list().items) {
    if (!each.is_dict()) {
      base::fail_input(std::string("expected ") + what + " as JSON objects, found " + shown(each), {.field = field});
    }
  }
}

[[noreturn]] void fail_continue(const std::string& message) {
  base::fail_input(message, {.field = "continue_final_message"});
}

// The parts of a message's content with the tag behind the text of the last part that has one.
Value tagged_parts(const Value& content, std::string& continued) {
  Items parts = content.list().items;
  for (size_t i = parts.size(); i-- > 0;) {
    const Value* text = parts[i].is_dict() ? parts[i].dict().find(std::string_view("text")) : nullptr;
    if (text == nullptr || !text->is_string()) continue;
    continued = text->text();
    Pairs pairs = parts[i].dict().items;
    set(pairs, "text", Value::string(continued + std::string(kContinueTag)));
    parts[i] = jinja::make_dict(std::move(pairs));
    return jinja::make_list(std::move(parts));
  }
  fail_continue("expected text to continue in the final message, found none");
}

// Tags the text to continue: that of `field` in the last message.
Value tagged_messages(const Value& messages, const std::string& field, std::string& continued) {
  Items items = messages.list().items;
  if (items.empty()) fail_continue("expected a final message to continue, found an empty conversation");
  Pairs pairs = items.back().dict().items;
  const Value* found = items.back().dict().find(std::string_view(field));
  if (found == nullptr || found->is_none()) {
    fail_continue("expected \"" + field + "\" in the final message, to continue it; found none");
  }
  const Value value = *found;
  if (value.is_list()) {
    set(pairs, field, tagged_parts(value, continued));
  } else if (value.is_string()) {
    continued = value.text();
    const Value tagged = Value::string(continued + std::string(kContinueTag));
    const bool reasons =
        std::find(std::begin(kReasoningNames), std::end(kReasoningNames), field) != std::end(kReasoningNames);
    for (auto& [key, old] : pairs) {
      if (!key.is_string()) continue;
      const bool copy = reasons && std::find(std::begin(kReasoningNames), std::end(kReasoningNames), key.text()) !=
                                       std::end(kReasoningNames);
      if (key.text() == field || (copy && jinja::equal(old, value))) old = tagged;
    }
  } else {
    fail_continue("expected text to continue in \"" + field + "\", found " + jinja::type_name(value));
  }
  items.back() = jinja::make_dict(std::move(pairs));
  return jinja::make_list(std::move(items));
}

void prepare(ChatContext::State& state, const jinja::Dict& object) {
  std::string field;
  for (const auto& [key, value] : object.items) {
    const std::string& name = key.text();
    if (name == "messages") {
      state.variables.emplace_back(name, prepared_messages(value));
    } else if (name == "chat_template") {
      if (value.is_none()) continue;
      if (!value.is_string()) {
        base::fail_input("expected a template or the name of one, found " + jinja::type_name(value), {.field = name});
      }
      state.chat_template = value.text();
    } else if (name == "continue_final_message") {
      if (jinja::truth(value)) field = value.is_string() ? value.text() : "content";
    } else if (name == "return_assistant_tokens_mask") {
      state.assistant_mask = jinja::truth(value);
    } else {
      if (name == "tools") check_objects(value, "tools", "tools");
      if (name == "documents") check_objects(value, "documents", "documents");
      state.variables.emplace_back(name, value);
    }
  }
  if (field.empty()) return;
  state.continued_text.emplace();
  for (auto& [name, value] : state.variables) {
    if (name == "messages") value = tagged_messages(value, field, *state.continued_text);
  }
}

std::string_view stripped(std::string_view text) { return jinja::strip(text, nullptr, true, true); }

}  // namespace

const Value* ChatContext::State::find(std::string_view name) const {
  for (const auto& [key, value] : variables) {
    if (key == name) return &value;
  }
  return nullptr;
}

void cut_at_continuation(std::string& text, const std::string& continued) {
  const std::string_view tag = stripped(kContinueTag);
  const size_t at = text.rfind(tag);
  if (text.find(stripped(continued)) == std::string::npos || at == std::string::npos) {
    fail_continue(
        "the final message is not in the rendered chat: the template leaves out parts of it; take another "
        "template, or do not continue this message");
  }
  const bool whole = text.compare(at, kContinueTag.size(), kContinueTag) == 0;
  text.resize(at);
  if (!whole) text.resize(jinja::strip(text, nullptr, false, true).size());  // the template cuts the text's spaces
}

ChatContext::ChatContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
ChatContext::ChatContext(ChatContext&&) noexcept = default;
ChatContext& ChatContext::operator=(ChatContext&&) noexcept = default;
ChatContext::~ChatContext() = default;

ChatContext::ChatContext(const base::Json& object) : state_(std::make_unique<State>()) {
  if (!object.is_object()) {
    base::fail_input(std::string("expected an object with messages, found ") + object.type_name());
  }
  try {
    prepare(*state_, jinja::from_json(object).dict());
  } catch (const jinja::LimitError& error) {
    throw base::Error(base::Code::kResourceExhausted, error.message);
  }
}

ChatContext ChatContext::parse(std::string_view json, const std::string& file, int line) {
  auto state = std::make_unique<State>();
  state->bytes = json.size();
  try {
    const std::optional<Value> value = jinja::read_json_value(json);
    if (!value) return ChatContext(base::parse_json(json, file, line));  // which says what is wrong
    if (!value->is_dict()) {
      base::fail_input("expected a JSON object, found " + jinja::type_name(*value) +
                           "; write one object a line, such as {\"messages\": […]}",
                       {.file = file, .line = line});
    }
    prepare(*state, value->dict());
  } catch (const jinja::LimitError& error) {
    throw base::Error(base::Code::kResourceExhausted, error.message, {.file = file, .line = line});
  }
  return ChatContext(std::move(state));
}

bool ChatContext::has(std::string_view name) const { return state_->find(name) != nullptr; }

bool ChatContext::wants_assistant_mask() const { return state_->assistant_mask; }

}  // namespace masbak::models
