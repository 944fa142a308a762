#include "trainer/data/mask.h"

#include <gtest/gtest.h>

#include "tests/base/thrown.h"
#include "tests/trainer/data/toy_tokenizer.h"

namespace masbak::trainer {
namespace {

using base::Json;
using models::ChatTemplate;

// U…, A…<end>: the generation prompt is "A".
constexpr const char* kPlain =
    "{% for m in messages %}{{ 'U' if m.role == 'user' else 'A' }}{{ m.content }}{% if m.role == 'assistant' %}<end>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}A{% endif %}";
constexpr const char* kMarked =
    "{% for m in messages %}{% if m.role == 'assistant' %}A{% generation %}{{ m.content }}<end>{% endgeneration %}"
    "{% else %}U{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}A{% endif %}";
// Earlier answers are shortened once there is a later question.
constexpr const char* kRewriting =
    "{% for m in messages %}{% if m.role == 'user' %}U{{ m.content }}{% elif loop.last %}A{{ m.content }}<end>"
    "{% else %}A…<end>{% endif %}{% endfor %}{% if add_generation_prompt %}A{% endif %}";

Conversation chat(const std::vector<std::string>& turns) {
  Conversation row;
  row.line = 7;
  row.messages = Json::array();
  for (size_t i = 0; i < turns.size(); ++i) {
    row.messages.push_back({{"role", i % 2 ? "assistant" : "user"}, {"content", turns[i]}});
  }
  return row;
}

std::vector<std::string> answers_of(const MaskedText& masked) {
  std::vector<std::string> answers;
  for (const auto& [begin, end] : masked.answers) answers.push_back(masked.text.substr(begin, end - begin));
  return answers;
}

class Mask : public ::testing::Test {
 protected:
  std::vector<TokenSequence> tokenize(const Conversation& row, const char* source, DatasetOptions options = {}) {
    const ChatTemplate chat_template = ChatTemplate::compile(source);
    report_ = {};
    return tokenize_conversations({row}, tokenizer_, &chat_template, options, &report_);
  }
  // The text of the tokens that are learnt.
  std::string learnt(const TokenSequence& sequence) {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < sequence.ids.size(); ++i) {
      if (sequence.labels[i] == -100) continue;
      EXPECT_EQ(sequence.labels[i], sequence.ids[i]);
      ids.push_back(sequence.ids[i]);
    }
    return tokenizer_.decode(ids);
  }

  models::Tokenizer tokenizer_ = toy_tokenizer();
  DatasetReport report_;
};

TEST_F(Mask, DerivedAnswersHoldTheEndOfTurn) {
  const ChatTemplate plain = ChatTemplate::compile(kPlain);
  EXPECT_EQ(answers_of(render_answers(chat({"q", "one", "r", "two"}), plain)),
            (std::vector<std::string>{"one<end>", "two<end>"}));
}

TEST_F(Mask, GenerationBlocksSayTheSame) {
  const Conversation row = chat({"q", "one", "r", "two"});
  const MaskedText marked = render_answers(row, ChatTemplate::compile(kMarked));
  const MaskedText derived = render_answers(row, ChatTemplate::compile(kPlain));
  EXPECT_EQ(marked.text, derived.text);
  EXPECT_EQ(marked.answers, derived.answers);
}

TEST_F(Mask, LearnsTheAnswersAndNothingElse) {
  const auto sequences = tokenize(chat({"question", "one", "hi", "hi two"}), kPlain);
  ASSERT_EQ(sequences.size(), 1u);
  EXPECT_EQ(learnt(sequences[0]), "one<end>hi two<end>");
  EXPECT_EQ(sequences[0].line, 7);
  EXPECT_EQ(sequences[0].ids, tokenizer_.encode("UquestionAone<end>UhiAhi two<end>"));
  EXPECT_EQ(report_.tokens, static_cast<int64_t>(sequences[0].ids.size()));
  EXPECT_EQ(report_.trained_tokens, 4 + 6);  // "one", "<end>"; "hi", " ", "t", "w", "o", "<end>"
  EXPECT_EQ(report_.longest, report_.tokens);
}

TEST_F(Mask, ATokenAcrossTheBorderIsLearntAndTheTokensStayThoseOfTheText) {
  // "A" and "b" are one token: the pieces on both sides of the border tokenise otherwise than the whole.
  const auto sequences = tokenize(chat({"q", "b c"}), kPlain);
  ASSERT_EQ(sequences.size(), 1u);
  EXPECT_EQ(sequences[0].ids, tokenizer_.encode("UqAb c<end>"));
  EXPECT_EQ(learnt(sequences[0]), "Ab c<end>");
}

TEST_F(Mask, FindsTheWayThroughCharactersOfSeveralTokens) {
  const auto sequences = tokenize(chat({"م؟", "b ضغط"}), kPlain);
  ASSERT_EQ(sequences.size(), 1u);
  EXPECT_EQ(learnt(sequences[0]), "Ab ضغط<end>");
}

TEST_F(Mask, ATemplateThatRewritesEarlierTurnsIsAProblemOfTheRow) {
  EXPECT_TRUE(tokenize(chat({"q", "one", "r", "two"}), kRewriting).empty());
  ASSERT_EQ(report_.problems.size(), 1u);
  EXPECT_EQ(report_.problems[0].line, 7);
  EXPECT_EQ(report_.problems[0].field, "messages[1]");
  EXPECT_NE(report_.problems[0].message.find("earlier turn"), std::string::npos);
  EXPECT_EQ(tokenize(chat({"q", "one"}), kRewriting).size(), 1u);
  DatasetOptions everything;
  everything.assistant_only_loss = false;
  EXPECT_EQ(tokenize(chat({"q", "one", "r", "two"}), kRewriting, everything).size(), 1u);
}

TEST_F(Mask, ATemplateThatRefusesIsAProblemOfTheRow) {
  EXPECT_TRUE(tokenize(chat({"q", "a"}), "{{ raise_exception('roles must alternate') }}").empty());
  ASSERT_EQ(report_.problems.size(), 1u);
  EXPECT_NE(report_.problems[0].message.find("roles must alternate"), std::string::npos);
}

TEST_F(Mask, CutsAtMaxLengthAndReportsWhatIsLost) {
  DatasetOptions options;
  options.max_length = 6;  // "U", "q", "A", "x", "y", "z"
  auto sequences = tokenize(chat({"q", "xyzxyz"}), kPlain, options);
  ASSERT_EQ(sequences.size(), 1u);
  EXPECT_EQ(learnt(sequences[0]), "xyz");
  EXPECT_EQ(report_.truncated, 1);
  options.max_length = 3;
  EXPECT_TRUE(tokenize(chat({"q", "xyzxyz"}), kPlain, options).empty());
  EXPECT_EQ(report_.without_answer, 1);
  ASSERT_EQ(report_.problems.size(), 1u);
  EXPECT_NE(report_.problems[0].message.find("raise max_length"), std::string::npos);
}

TEST_F(Mask, WithoutTheMaskEverythingIsLearnt) {
  DatasetOptions options;
  options.assistant_only_loss = false;
  const auto sequences = tokenize(chat({"q", "a"}), kPlain, options);
  EXPECT_EQ(sequences.at(0).labels, sequences.at(0).ids);
}

TEST_F(Mask, TextEndsWithTheEndToken) {
  Conversation row;
  row.text = "hi";
  const auto sequences = tokenize_conversations({row}, tokenizer_, nullptr, {}, &report_);
  EXPECT_EQ(sequences.at(0).ids, (std::vector<int32_t>{257, 259}));
  EXPECT_EQ(sequences.at(0).labels, sequences.at(0).ids);
}

TEST_F(Mask, TokensAreTakenAsTheyAre) {
  Conversation row;
  row.ids = {1, 2, 3};
  row.labels = {-100, 2, -100};
  Conversation outside = row, empty = row;
  outside.ids[2] = 260;
  empty.labels = {1, -100, -100};  // the first token has nothing before it
  const auto sequences = tokenize_conversations({row, outside, empty}, tokenizer_, nullptr, {}, &report_);
  ASSERT_EQ(sequences.size(), 1u);
  EXPECT_EQ(sequences[0].labels, row.labels);
  ASSERT_EQ(report_.problems.size(), 2u);
  EXPECT_EQ(report_.problems[0].field, "input_ids[2]");
  EXPECT_EQ(report_.without_answer, 1);
}

TEST_F(Mask, WhatConcernsTheWholeRunIsThrown) {
  EXPECT_EQ(base::thrown([&] { tokenize_conversations({chat({"q", "a"})}, tokenizer_, nullptr, {}, &report_); }).code(),
            base::Code::kFailedPrecondition);
  Conversation pair = chat({"q"});
  pair.chosen = pair.rejected = pair.messages;
  EXPECT_THROW(tokenize_conversations({pair}, tokenizer_, nullptr, {}, &report_), base::Error);
}

}  // namespace
}  // namespace masbak::trainer
