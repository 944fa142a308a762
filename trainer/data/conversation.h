// One row of a data file, in any format → a Conversation in the one form that everything after uses.
#pragma once

#include "base/document.h"
#include "trainer/data/dataset.h"

namespace masbak::trainer {

// INVALID_ARGUMENT with the field ("messages[2].content") for a missing field, a wrong type, an unknown
// role, an empty answer, or no answer at all. Fields that a format does not know are left aside.
//
// What is understood beyond the plain fields:
// - messages: content as a list of {"type": "text", "text": …} parts (joined); tool_calls as the chat
//   templates want them (arguments written as JSON text become an object); other keys of a message
//   (name, tool_call_id, reasoning_content) are kept for the template.
// - sharegpt: from human, user, gpt, assistant, chatgpt, model, system, tool, observation, function_call;
//   system and tools beside conversations.
// - alpaca: system, and history as [[question, answer], …].
// - tools: a list, or JSON text that holds one.
Conversation read_row(const base::Json& row, Format format);

// A list of messages, checked and put in the form of the chat templates. `field` names it in errors.
base::Json read_messages(const base::Json& list, const std::string& field);

// The list of tools of a row, null if there is none.
base::Json read_tools(const base::Json& row);

// The text at `key`. INVALID_ARGUMENT if it is missing, no text, or has nothing but white space.
std::string require_text(const base::Json& row, const std::string& key, const std::string& field);

// "a number", "a list", …: how a value is named in messages.
std::string type_words(const base::Json& value);

}  // namespace masbak::trainer
