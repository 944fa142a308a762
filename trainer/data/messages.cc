// Messages and tool calls, as chat templates expect them.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "trainer/data/conversation.h"

namespace masbak::trainer {
namespace {

using base::Json;

const std::vector<std::string>& roles() {
  static const std::vector<std::string> names{"system", "developer", "user", "assistant", "tool"};
  return names;
}

bool blank(const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; }

std::string read_role(const Json& message, const std::string& field) {
  const std::string role = require_text(message, "role", field + ".role");
  if (std::find(roles().begin(), roles().end(), role) != roles().end()) return role;
  const auto nearest = base::nearest_name(role, roles());
  base::fail_input("expected a role (system, developer, user, assistant or tool), found '" + role + "'" +
                       (nearest ? "; did you mean '" + *nearest + "'?" : ""),
                   {.field = field + ".role"});
}

// Text, or a list of text parts, joined.
std::string read_content(const Json& content, const std::string& field) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) {
    base::fail_input("expected text or a list of text parts, found " + type_words(content), {.field = field});
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string part = field + "[" + std::to_string(i) + "]";
    const Json& value = content[i];
    if (!value.is_object() || value.value("type", Json()) != "text") {
      base::fail_input("expected a part {\"type\": \"text\", \"text\": …}: this toolkit trains on text only",
                       {.field = part});
    }
    text += require_text(value, "text", part + ".text");
  }
  return text;
}

// {"name", "arguments"}, arguments as an object.
Json read_function(const Json& call, const std::string& field) {
  if (!call.is_object()) base::fail_input("expected an object, found " + type_words(call), {.field = field});
  Json function = call;
  function["name"] = require_text(call, "name", field + ".name");
  if (!call.contains("arguments")) {
    base::fail_input("expected the arguments of the call, found none; write {} for a call without any",
                     {.field = field + ".arguments"});
  }
  Json arguments = call["arguments"];
  if (arguments.is_string()) {
    const Json parsed = Json::parse(arguments.get<std::string>(), nullptr, false);
    if (!parsed.is_discarded()) arguments = parsed;
  }
  if (!arguments.is_object()) {
    base::fail_input("expected an object, or JSON text that holds one, found " + type_words(arguments),
                     {.field = field + ".arguments"});
  }
  function["arguments"] = arguments;
  return function;
}

Json read_tool_calls(const Json& calls, const std::string& field) {
  if (!calls.is_array() || calls.empty()) {
    base::fail_input("expected a list of calls, found " + (calls.is_array() ? "an empty one" : type_words(calls)),
                     {.field = field});
  }
  Json result = Json::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string place = field + "[" + std::to_string(i) + "]";
    const Json& call = calls[i];
    // Both are written: {"type": "function", "function": {name, arguments}} and {name, arguments} alone.
    const bool nested = call.is_object() && call.contains("function");
    Json entry = nested ? call : Json::object();
    entry["type"] = "function";
    entry["function"] = nested ? read_function(call["function"], place + ".function") : read_function(call, place);
    result.push_back(std::move(entry));
  }
  return result;
}

Json read_message(const Json& message, const std::string& field) {
  if (!message.is_object()) {
    base::fail_input("expected an object with role and content, found " + type_words(message), {.field = field});
  }
  const std::string role = read_role(message, field);
  const bool calls = message.contains("tool_calls") && !message["tool_calls"].is_null();
  if (calls && role != "assistant") {
    base::fail_input("expected tool_calls in an assistant message only, found them in one of role " + role,
                     {.field = field + ".tool_calls"});
  }
  Json result = message;
  if (calls) {
    result["tool_calls"] = read_tool_calls(message["tool_calls"], field + ".tool_calls");
  } else {
    result.erase("tool_calls");
  }
  const bool missing = !message.contains("content") || message["content"].is_null();
  if (missing && !calls) base::fail_input("expected content, found none", {.field = field + ".content"});
  result["content"] = missing ? std::string() : read_content(message["content"], field + ".content");
  if (!calls && role != "tool" && blank(result["content"].get<std::string>())) {
    base::fail_input(role == "assistant" ? "expected an answer, found an empty text; remove the row or write the answer"
                                         : "expected content, found an empty text",
                     {.field = field + ".content"});
  }
  return result;
}

}  // namespace

std::string type_words(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::object: return "an object";
    case Json::value_t::array: return "a list";
    case Json::value_t::string: return "text";
    case Json::value_t::boolean: return value.get<bool>() ? "true" : "false";
    default: return "the number " + value.dump();
  }
}

std::string require_text(const Json& row, const std::string& key, const std::string& field) {
  if (!row.contains(key)) base::fail_input("expected the field '" + key + "', found none", {.field = field});
  const Json& value = row[key];
  if (!value.is_string()) base::fail_input("expected text, found " + type_words(value), {.field = field});
  std::string text = value.get<std::string>();
  if (blank(text)) base::fail_input("expected text, found an empty one", {.field = field});
  return text;
}

Json read_messages(const Json& list, const std::string& field) {
  if (!list.is_array() || list.empty()) {
    base::fail_input("expected a list of messages, found " + (list.is_array() ? "an empty one" : type_words(list)),
                     {.field = field});
  }
  Json result = Json::array();
  for (size_t i = 0; i < list.size(); ++i) {
    result.push_back(read_message(list[i], field + "[" + std::to_string(i) + "]"));
  }
  return result;
}

Json read_tools(const Json& row) {
  if (!row.contains("tools") || row["tools"].is_null()) return nullptr;
  Json tools = row["tools"];
  if (tools.is_string()) {
    const std::string text = tools.get<std::string>();
    if (blank(text)) return nullptr;
    tools = Json::parse(text, nullptr, false);
    if (tools.is_discarded()) {
      base::fail_input("expected a list of tools, found text that is no JSON", {.field = "tools"});
    }
  }
  if (!tools.is_array()) base::fail_input("expected a list of tools, found " + type_words(tools), {.field = "tools"});
  for (size_t i = 0; i < tools.size(); ++i) {
    if (!tools[i].is_object()) {
      base::fail_input("expected an object, found " + type_words(tools[i]),
                       {.field = "tools[" + std::to_string(i) + "]"});
    }
  }
  return tools.empty() ? Json(nullptr) : tools;
}

}  // namespace masbak::trainer
