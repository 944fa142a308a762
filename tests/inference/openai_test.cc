#include "services/inference/openai.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace masbak::inference {
namespace {

// The field that parse_request complains of; "" if it takes the request.
std::string refused_field(const std::string& body, bool chat = true) {
  try {
    parse_request(body, chat);
    return "";
  } catch (const base::Error& fault) {
    EXPECT_EQ(fault.code(), base::Code::kInvalidArgument) << fault.describe();
    return fault.where().field;
  }
}

std::string with(const std::string& extra) {
  return R"({"model":"m","messages":[{"role":"user","content":"hi"}],)" + extra + "}";
}

TEST(ParseRequest, ReadsAChatRequestWithOpenAiDefaults) {
  const auto request = parse_request(R"({"model":"m","messages":[{"role":"user","content":"hi"}]})", true);
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.messages[0]["content"], "hi");
  EXPECT_EQ(request.sampling.temperature, 1.0);
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.max_tokens_given);
}

TEST(ParseRequest, JoinsTextPartsAndRefusesOthers) {
  const auto request = parse_request(
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]})",
      true);
  EXPECT_EQ(request.messages[0]["content"], "ab");
  EXPECT_EQ(refused_field(R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url"}]}]})"),
            "messages[0].content");
}

TEST(ParseRequest, RefusesWhatWouldChangeTheAnswer) {
  EXPECT_EQ(refused_field(with(R"("n":2)")), "n");
  EXPECT_EQ(refused_field(with(R"("logprobs":true)")), "logprobs");
  EXPECT_EQ(refused_field(with(R"("frequency_penalty":0.5)")), "frequency_penalty");
  EXPECT_EQ(refused_field(with(R"("response_format":{"type":"json_object"})")), "response_format");
  EXPECT_EQ(refused_field(with(R"("temperature":2.5)")), "temperature");
  EXPECT_EQ(refused_field(with(R"("max_tokens":0)")), "max_tokens");
  EXPECT_EQ(refused_field(with(R"("stop":[""])")), "stop");
  EXPECT_EQ(refused_field(with(R"("n":1,"logprobs":false,"frequency_penalty":0)")), "");
}

TEST(ParseRequest, NamesTheMissingField) {
  EXPECT_EQ(refused_field(R"({"messages":[{"role":"user","content":"hi"}]})"), "model");
  EXPECT_EQ(refused_field(R"({"model":"m"})"), "messages");
  EXPECT_EQ(refused_field(R"({"model":"m","messages":[{"content":"hi"}]})"), "messages[0].role");
  EXPECT_EQ(refused_field(R"({"model":"m"})", false), "prompt");
  EXPECT_THROW(parse_request("{", true), base::Error);
  EXPECT_THROW(parse_request("[]", true), base::Error);
}

TEST(ParseRequest, TakesTokenIdsAsPrompt) {
  EXPECT_EQ(parse_request(R"({"model":"m","prompt":[1,2]})", false).prompt_ids, (std::vector<int32_t>{1, 2}));
}

TEST(Answers, HaveTheShapeOfTheApi) {
  const AnswerHead head{"chatcmpl-1", "m", 7, true};
  const auto whole = whole_answer(head, "text", "stop", {3, 2});
  EXPECT_EQ(whole["object"], "chat.completion");
  EXPECT_EQ(whole["choices"][0]["message"]["content"], "text");
  EXPECT_EQ(whole["usage"]["total_tokens"], 5);
  EXPECT_EQ(answer_chunk(head, "", true, "")["choices"][0]["delta"]["role"], "assistant");
  EXPECT_TRUE(answer_chunk(head, "x", false, "")["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(answer_chunk(head, "", false, "length")["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(error_object(base::Error(base::Code::kNotFound, "no", {.field = "model"}))["error"]["param"], "model");
}

TEST(StopScanner, CutsBeforeTheStopTextHoweverItArrives) {
  const std::string text = "The pressure is 12 bar.\nUser: next";
  for (size_t step = 1; step < 8; ++step) {
    StopScanner scanner({"\nUser:", "never"});
    std::string out;
    for (size_t at = 0; at < text.size(); at += step) out += scanner.push(text.substr(at, step));
    out += scanner.finish();
    EXPECT_TRUE(scanner.stopped());
    EXPECT_EQ(out, "The pressure is 12 bar.") << "pieces of " << step;
  }
}

TEST(StopScanner, GivesBackWhatOnlyLookedLikeAStop) {
  StopScanner scanner({"END"});
  EXPECT_EQ(scanner.push("the EN"), "the ");
  EXPECT_EQ(scanner.push("TRY"), "ENTRY");
  EXPECT_EQ(scanner.push(" E"), " ");
  EXPECT_EQ(scanner.finish(), "E");
  EXPECT_FALSE(scanner.stopped());
}

}  // namespace
}  // namespace masbak::inference
