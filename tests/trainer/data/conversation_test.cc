#include "trainer/data/conversation.h"

#include <gtest/gtest.h>

#include "tests/base/thrown.h"

namespace masbak::trainer {
namespace {

using base::Json;

Json parse(const char* text) { return base::parse_json(text); }

struct Good {
  Format format;
  const char* row;
  const char* messages;
};

TEST(ReadRow, EveryChatFormatBecomesMessages) {
  const Good cases[] = {
      {Format::kAlpaca, R"({"instruction": "Add.", "input": "1 2", "output": "3"})",
       R"([{"role":"user","content":"Add.\n1 2"},{"role":"assistant","content":"3"}])"},
      {Format::kAlpaca, R"({"instruction": "B", "input": "", "output": "b", "system": "S", "history": [["A", "a"]]})",
       R"([{"role":"system","content":"S"},{"role":"user","content":"A"},{"role":"assistant","content":"a"},
           {"role":"user","content":"B"},{"role":"assistant","content":"b"}])"},
      {Format::kShareGpt, R"({"conversations": [{"from": "human", "value": "A"}, {"from": "gpt", "value": "a"}]})",
       R"([{"role":"user","content":"A"},{"role":"assistant","content":"a"}])"},
      {Format::kMessages, R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text",
         "text": "B"}]}, {"role": "assistant", "content": "a", "tool_calls": null}], "source": "notes"})",
       R"([{"role":"user","content":"AB"},{"role":"assistant","content":"a"}])"},
  };
  for (const Good& c : cases) EXPECT_EQ(read_row(parse(c.row), c.format).messages, parse(c.messages)) << c.row;
}

TEST(ReadRow, ToolCallsAreAsTemplatesWantThem) {
  const Conversation row =
      read_row(parse(R"({"tools": "[{\"type\": \"function\", \"function\": {\"name\": \"level\"}}]", "messages": [
        {"role": "user", "content": "Level?"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
         "function": {"name": "level", "arguments": "{\"tank\": \"T-1\"}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": ""},
        {"role": "assistant", "content": "3 m"}]})"),
               Format::kMessages);
  const Json& call = row.messages[1]["tool_calls"][0];
  EXPECT_EQ(call["function"]["arguments"], parse(R"({"tank": "T-1"})"));
  EXPECT_EQ(row.messages[1]["content"], "");
  EXPECT_EQ(row.messages[2]["tool_call_id"], "1");
  EXPECT_EQ(row.tools[0]["function"]["name"], "level");

  const Conversation shared = read_row(parse(R"({"conversations": [{"from": "human", "value": "Level?"},
        {"from": "function_call", "value": "{\"name\": \"level\", \"arguments\": {}}"},
        {"from": "observation", "value": "3"}, {"from": "gpt", "value": "3 m"}]})"),
                                       Format::kShareGpt);
  EXPECT_EQ(shared.messages[1]["tool_calls"][0]["function"]["name"], "level");
  EXPECT_EQ(shared.messages[2]["role"], "tool");
  EXPECT_TRUE(shared.tools.is_null());
}

TEST(ReadRow, PreferencePairs) {
  const Conversation plain =
      read_row(parse(R"({"prompt": "Q", "chosen": "good", "rejected": "bad"})"), Format::kPreference);
  EXPECT_EQ(plain.messages, parse(R"([{"role": "user", "content": "Q"}])"));
  EXPECT_EQ(plain.chosen, parse(R"([{"role": "assistant", "content": "good"}])"));
  const Conversation whole =
      read_row(parse(R"({"chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "good"}],
                "rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "bad"}]})"),
               Format::kPreference);
  EXPECT_EQ(whole.messages, plain.messages);
  EXPECT_EQ(whole.rejected, parse(R"([{"role": "assistant", "content": "bad"}])"));
}

struct Bad {
  Format format;
  const char* row;
  const char* field;
  const char* words;  // of the message
};

TEST(ReadRow, SaysWhichFieldIsWrong) {
  const Bad cases[] = {
      {Format::kAlpaca, R"({"output": "a"})", "instruction", "found none"},
      {Format::kAlpaca, R"({"instruction": "A", "output": " "})", "output", "empty"},
      {Format::kAlpaca, R"({"instruction": 3, "output": "a"})", "instruction", "the number 3"},
      {Format::kAlpaca, R"({"instruction": "A", "output": "a", "history": [["x"]]})", "history[0]", "two texts"},
      {Format::kShareGpt, R"({"conversations": [{"from": "humen", "value": "A"}]})", "conversations[0].from",
       "did you mean 'human'"},
      {Format::kShareGpt, R"({"conversations": []})", "conversations", "empty"},
      {Format::kMessages, R"({"message": []})", "messages", "found none"},
      {Format::kMessages, R"({"messages": {"role": "user"}})", "messages", "an object"},
      {Format::kMessages, R"({"messages": [{"role": "usr", "content": "A"}]})", "messages[0].role",
       "did you mean 'user'"},
      {Format::kMessages, R"({"messages": [{"role": "user", "content": "A"}]})", "messages", "nothing to learn"},
      {Format::kMessages, R"({"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "\n"}]})",
       "messages[1].content", "empty"},
      {Format::kMessages, R"({"messages": [{"role": "user", "content": 5}]})", "messages[0].content", "the number 5"},
      {Format::kMessages, R"({"messages": [{"role": "user", "content": [{"type": "image"}]}]})",
       "messages[0].content[0]", "text only"},
      {Format::kMessages, R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f",
         "arguments": "not json"}}]}]})",
       "messages[0].tool_calls[0].function.arguments", "expected an object"},
      {Format::kMessages, R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]}]})",
       "messages[0].tool_calls[0].function.name", "found none"},
      {Format::kMessages, R"({"messages": [{"role": "assistant", "content": "a"}], "tools": 4})", "tools", "a list"},
      {Format::kText, R"({"text": ""})", "text", "empty"},
      {Format::kPreference, R"({"prompt": "Q", "chosen": "x"})", "rejected", "found none"},
      {Format::kPreference, R"({"prompt": "Q", "chosen": "x", "rejected": "x"})", "rejected", "the same"},
      {Format::kPreference, R"({"chosen": "x", "rejected": "y"})", "prompt", "begin alike"},
      {Format::kTokens, R"({"input_ids": [1, 2], "labels": [1]})", "labels", "as many labels"},
      {Format::kTokens, R"({"input_ids": [1, -1], "labels": [1, 1]})", "input_ids[1]", "found -1"},
      {Format::kTokens, R"({"input_ids": [1], "labels": [1.5]})", "labels[0]", "found 1.5"},
      {Format::kTokens, R"({"input_ids": [], "labels": []})", "input_ids", "empty"},
      {Format::kMessages, R"(["a"])", "", "expected an object"},
  };
  for (const Bad& c : cases) {
    const base::Error error = base::thrown([&] { read_row(parse(c.row), c.format); });
    EXPECT_EQ(error.where().field, c.field) << c.row;
    EXPECT_NE(std::string(error.what()).find(c.words), std::string::npos) << c.row << ": " << error.what();
  }
}

}  // namespace
}  // namespace masbak::trainer
