#include "trainer/data/conversation.h"

#include <algorithm>
#include <limits>
#include <map>

#include "base/error.h"

namespace masbak::trainer {
namespace {

using base::Json;

Json message(const std::string& role, const std::string& content) { return Json{{"role", role}, {"content", content}}; }

bool has_value(const Json& row, const std::string& key) { return row.contains(key) && !row[key].is_null(); }

// An optional text: empty if it is missing, null or "".
std::string optional_text(const Json& row, const std::string& key) {
  if (!has_value(row, key)) return "";
  if (!row[key].is_string()) base::fail_input("expected text, found " + type_words(row[key]), {.field = key});
  return row[key].get<std::string>();
}

void require_answer(const Json& messages, const std::string& field) {
  const auto answers = [](const Json& message) { return message["role"] == "assistant"; };
  const bool any = std::any_of(messages.begin(), messages.end(), answers);
  if (!any) base::fail_input("expected at least one assistant message, found none: nothing to learn", {.field = field});
}

Conversation read_alpaca(const Json& row) {
  Conversation result;
  result.messages = Json::array();
  if (const std::string system = optional_text(row, "system"); !system.empty()) {
    result.messages.push_back(message("system", system));
  }
  if (has_value(row, "history")) {
    const Json& history = row["history"];
    if (!history.is_array()) {
      base::fail_input("expected a list of [question, answer], found " + type_words(history), {.field = "history"});
    }
    for (size_t i = 0; i < history.size(); ++i) {
      const Json& turn = history[i];
      if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string()) {
        base::fail_input("expected [question, answer], two texts", {.field = "history[" + std::to_string(i) + "]"});
      }
      result.messages.push_back(message("user", turn[0]));
      result.messages.push_back(message("assistant", turn[1]));
    }
  }
  std::string question = require_text(row, "instruction", "instruction");
  if (const std::string input = optional_text(row, "input"); !input.empty()) question += "\n" + input;
  result.messages.push_back(message("user", question));
  result.messages.push_back(message("assistant", require_text(row, "output", "output")));
  return result;
}

// One turn of sharegpt as a message.
Json read_turn(const Json& turn, const std::string& field) {
  static const std::map<std::string, std::string> kRoles{{"human", "user"},        {"user", "user"},
                                                         {"gpt", "assistant"},     {"assistant", "assistant"},
                                                         {"chatgpt", "assistant"}, {"model", "assistant"},
                                                         {"system", "system"},     {"tool", "tool"},
                                                         {"observation", "tool"},  {"function_call", "assistant"}};
  if (!turn.is_object()) {
    base::fail_input("expected an object with from and value, found " + type_words(turn), {.field = field});
  }
  const std::string from = require_text(turn, "from", field + ".from");
  const auto role = kRoles.find(from);
  if (role == kRoles.end()) {
    std::vector<std::string> names;
    for (const auto& entry : kRoles) names.push_back(entry.first);
    const auto nearest = base::nearest_name(from, names);
    base::fail_input("expected a speaker (human, gpt, system, function_call or observation), found '" + from + "'" +
                         (nearest ? "; did you mean '" + *nearest + "'?" : ""),
                     {.field = field + ".from"});
  }
  const std::string value = require_text(turn, "value", field + ".value");
  if (from != "function_call") return message(role->second, value);
  Json call = Json::parse(value, nullptr, false);
  if (call.is_discarded()) {
    base::fail_input("expected the JSON text of a call {\"name\": …, \"arguments\": …}", {.field = field + ".value"});
  }
  Json result = message("assistant", "");
  result["tool_calls"] = call.is_array() ? call : Json::array({call});
  return result;
}

Conversation read_sharegpt(const Json& row) {
  if (!row.contains("conversations")) {
    base::fail_input("expected the field 'conversations', found none", {.field = "conversations"});
  }
  const Json& turns = row["conversations"];
  if (!turns.is_array() || turns.empty()) {
    base::fail_input("expected a list of turns, found " + (turns.is_array() ? "an empty one" : type_words(turns)),
                     {.field = "conversations"});
  }
  Json messages = Json::array();
  if (const std::string system = optional_text(row, "system"); !system.empty()) {
    messages.push_back(message("system", system));
  }
  for (size_t i = 0; i < turns.size(); ++i) {
    messages.push_back(read_turn(turns[i], "conversations[" + std::to_string(i) + "]"));
  }
  Conversation result;
  result.messages = read_messages(messages, "conversations");
  result.tools = read_tools(row);
  return result;
}

Conversation read_chat(const Json& row) {
  if (!row.contains("messages")) base::fail_input("expected the field 'messages', found none", {.field = "messages"});
  Conversation result;
  result.messages = read_messages(row["messages"], "messages");
  result.tools = read_tools(row);
  return result;
}

// A side of a preference: text, or a list of messages.
Json read_side(const Json& row, const std::string& key, const std::string& role) {
  if (!row.contains(key)) base::fail_input("expected the field '" + key + "', found none", {.field = key});
  if (row[key].is_array()) return read_messages(row[key], key);
  return Json::array({message(role, require_text(row, key, key))});
}

bool is_text(const Json& row, const std::string& key) { return row.contains(key) && row[key].is_string(); }

// A prompt and what follows it must be of one kind: with a text beside messages it is not clear what is a turn.
void require_same_kind(const Json& row, const std::string& first, const std::string& second) {
  if (!row.contains(first) || !row.contains(second) || is_text(row, first) == is_text(row, second)) return;
  base::fail_input("expected texts in both " + first + " and " + second + ", or messages in both, found " +
                       type_words(row[first]) + " and " + type_words(row[second]),
                   {.field = second});
}

Conversation read_prompt_completion(const Json& row) {
  Conversation result;
  require_same_kind(row, "prompt", "completion");
  result.messages = read_side(row, "prompt", "user");
  result.chosen = read_side(row, "completion", "assistant");
  result.plain = is_text(row, "prompt");
  result.tools = read_tools(row);
  require_answer(result.chosen, "completion");
  return result;
}

Conversation read_kto(const Json& row) {
  Conversation result = read_prompt_completion(row);
  if (!row.contains("label")) base::fail_input("expected the field 'label', found none", {.field = "label"});
  if (!row["label"].is_boolean()) {
    base::fail_input("expected true or false, found " + type_words(row["label"]), {.field = "label"});
  }
  result.desirable = row["label"].get<bool>();
  return result;
}

Conversation read_preference(const Json& row) {
  Conversation result;
  require_same_kind(row, "chosen", "rejected");
  result.chosen = read_side(row, "chosen", "assistant");
  result.rejected = read_side(row, "rejected", "assistant");
  result.plain = is_text(row, "chosen");
  if (has_value(row, "prompt")) {
    require_same_kind(row, "prompt", "chosen");
    result.messages = read_side(row, "prompt", "user");
  } else {
    // Whole conversations on both sides: what they share at their beginning is the prompt.
    size_t shared = 0;
    const size_t shorter = std::min(result.chosen.size(), result.rejected.size());
    while (shared < shorter && result.chosen[shared] == result.rejected[shared]) ++shared;
    if (shared == 0) {
      base::fail_input("expected the field 'prompt', or conversations that begin alike in chosen and rejected",
                       {.field = "prompt"});
    }
    result.messages = Json::array();
    for (size_t i = 0; i < shared; ++i) result.messages.push_back(result.chosen[i]);
    for (Json* side : {&result.chosen, &result.rejected}) side->erase(side->begin(), side->begin() + shared);
  }
  result.tools = read_tools(row);
  require_answer(result.chosen, "chosen");
  require_answer(result.rejected, "rejected");
  if (result.chosen == result.rejected) {
    base::fail_input("expected two different answers, found the same one in chosen and rejected",
                     {.field = "rejected"});
  }
  return result;
}

std::vector<int32_t> read_ids(const Json& row, const std::string& key, bool labels) {
  if (!row.contains(key)) base::fail_input("expected the field '" + key + "', found none", {.field = key});
  const Json& list = row[key];
  if (!list.is_array() || list.empty()) {
    base::fail_input("expected a list of token ids, found " + (list.is_array() ? "an empty one" : type_words(list)),
                     {.field = key});
  }
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list.size(); ++i) {
    const int64_t id = list[i].is_number_integer() ? list[i].get<int64_t>() : -1;
    const bool good = (id >= 0 && id <= std::numeric_limits<int32_t>::max()) || (labels && id == -100);
    if (!good) {
      base::fail_input(std::string("expected a token id") + (labels ? " or -100" : "") + ", found " +
                           (list[i].is_number() ? list[i].dump() : type_words(list[i])),
                       {.field = key + "[" + std::to_string(i) + "]"});
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

Conversation read_tokens(const Json& row) {
  Conversation result;
  result.ids = read_ids(row, "input_ids", false);
  result.labels = read_ids(row, "labels", true);
  if (result.ids.size() != result.labels.size()) {
    base::fail_input("expected as many labels as input_ids (" + std::to_string(result.ids.size()) + "), found " +
                         std::to_string(result.labels.size()),
                     {.field = "labels"});
  }
  return result;
}

}  // namespace

Conversation read_row(const Json& row, Format format) {
  if (!row.is_object()) base::fail_input("expected an object {…}, found " + type_words(row));
  Conversation result;
  switch (format) {
    case Format::kAlpaca: result = read_alpaca(row); break;
    case Format::kShareGpt: result = read_sharegpt(row); break;
    case Format::kMessages: result = read_chat(row); break;
    case Format::kText: result.text = require_text(row, "text", "text"); return result;
    case Format::kPreference: return read_preference(row);
    case Format::kPromptCompletion: return read_prompt_completion(row);
    case Format::kKto: return read_kto(row);
    case Format::kTokens: return read_tokens(row);
    case Format::kAuto: base::fail_input("expected a format, found auto: detect it first");
  }
  require_answer(result.messages, format == Format::kShareGpt ? "conversations" : "messages");
  return result;
}

}  // namespace masbak::trainer
