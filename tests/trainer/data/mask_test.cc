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

MaskedText render(const Conversation& row, const char* source, LossOn loss_on = LossOn::kAssistant) {
  return render_answers(row, ChatTemplate::compile(source), loss_on, "<end>");
}

std::string field_of_fault(const Conversation& row, const char* source) {
  return base::thrown([&] { render(row, source); }).where().field;
}

class Mask : public ::testing::Test {
 protected:
  MadeSequence make(const Conversation& row, const char* source, DatasetOptions options = {}) {
    TextTools tools{tokenizer_, std::nullopt, 260};
    if (source) tools.chat_template = ChatTemplate::compile(source);
    return make_sequence(row, tools, options);
  }
  TokenSequence tokenize(const Conversation& row, const char* source, DatasetOptions options = {}) {
    return make(row, source, options).sequence;
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
};

using Answers = std::vector<std::string>;

TEST_F(Mask, DerivedAnswersHoldTheEndOfTurn) {
  EXPECT_EQ(answers_of(render(chat({"q", "one", "r", "two"}), kPlain)), (Answers{"one<end>", "two<end>"}));
}

TEST_F(Mask, GenerationBlocksSayTheSame) {
  const Conversation row = chat({"q", "one", "r", "two"});
  const MaskedText marked = render(row, kMarked), derived = render(row, kPlain);
  EXPECT_EQ(marked.text, derived.text);
  EXPECT_EQ(marked.answers, derived.answers);
}

TEST_F(Mask, TheLastTurnIsWhatFollowsTheLastQuestion) {
  Conversation row = chat({"q", "one", "r", "two"});
  row.messages.push_back({{"role", "assistant"}, {"content", "three"}});
  for (const char* source : {kPlain, kMarked}) {
    std::string all;
    for (const std::string& answer : answers_of(render(row, source, LossOn::kLastTurn))) all += answer;
    EXPECT_EQ(all, "two<end>three<end>");
  }
  EXPECT_EQ(answers_of(render(row, kPlain, LossOn::kAll)), (Answers{"UqAone<end>UrAtwo<end>Athree<end>"}));
}

// What a template adds to the end of a whole conversation alone (Phi-3's end of text) does not hide where an earlier
// answer ends.
TEST_F(Mask, AnEndOfTextBehindTheWholeBelongsToTheLastAnswer) {
  const char* source =
      "{% for m in messages %}{{ 'U' if m.role == 'user' else 'A' }}{{ m.content }}.{% endfor %}"
      "{% if add_generation_prompt %}A{% else %}<end>{% endif %}";
  EXPECT_EQ(answers_of(render(chat({"q", "one", "<r", "two"}), source)), (Answers{"one.", "two.<end>"}));
}

// Qwen3, DeepSeek-R1 and others: an earlier answer loses its reasoning once there is a later question.
constexpr const char* kReasoning =
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% if m.role == 'user' %}U{{ m.content }}\n{% else %}"
    "{% set parts = m.content.split('|') %}A:{% if loop.index0 > ns.last %}(think){{ parts[0] }}(/think)"
    "{% endif %}{{ parts[-1] }}<end>\n{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}";

TEST_F(Mask, AnAnswerThatLosesItsReasoningLaterIsFoundInTheWholeChat) {
  const MaskedText masked = render(chat({"q", "why|one", "r", "how|two"}), kReasoning);
  EXPECT_EQ(masked.text, "Uq\nA:one<end>\nUr\nA:(think)how(/think)two<end>\n");
  EXPECT_EQ(answers_of(masked), (Answers{"one<end>\n", "(think)how(/think)two<end>\n"}));
  EXPECT_TRUE(masked.rewritten);
  EXPECT_FALSE(render(chat({"q", "why|one"}), kReasoning).rewritten);
  // Answers that are like one another, like the question and like the probes are still told apart.
  EXPECT_EQ(answers_of(render(chat({"A:one", "w|one", "A:one<end>", "w|one", "QK", "x|QKZJ"}), kReasoning)),
            (Answers{"one<end>\n", "one<end>\n", "(think)x(/think)QKZJ<end>\n"}));
}

TEST_F(Mask, LearnsTheAnswersAndNothingElse) {
  const TokenSequence sequence = tokenize(chat({"question", "one", "hi", "hi two"}), kPlain);
  EXPECT_EQ(learnt(sequence), "one<end>hi two<end>");
  EXPECT_EQ(sequence.line, 7);
  EXPECT_EQ(sequence.ids, tokenizer_.encode("UquestionAone<end>UhiAhi two<end>"));
  EXPECT_EQ(count_trained(sequence), 4 + 6);  // "one", "<end>"; "hi", " ", "t", "w", "o", "<end>"
}

TEST_F(Mask, ATokenAcrossTheBorderIsLearntAndTheTokensStayThoseOfTheText) {
  // "A" and "b" are one token: the pieces on both sides of the border tokenise otherwise than the whole.
  const TokenSequence sequence = tokenize(chat({"q", "b c"}), kPlain);
  EXPECT_EQ(sequence.ids, tokenizer_.encode("UqAb c<end>"));
  EXPECT_EQ(learnt(sequence), "Ab c<end>");
}

TEST_F(Mask, FindsTheWayThroughCharactersOfSeveralTokens) {
  EXPECT_EQ(learnt(tokenize(chat({"م؟", "b ضغط"}), kPlain)), "Ab ضغط<end>");
}

TEST_F(Mask, ATemplateThatLeavesAnEarlierAnswerOutIsAProblemOfTheRow) {
  const base::Error error = base::thrown([&] { tokenize(chat({"q", "one", "r", "two"}), kRewriting); });
  EXPECT_EQ(error.code(), base::Code::kInvalidArgument);
  EXPECT_EQ(error.where().field, "messages[1]");
  EXPECT_NE(std::string(error.what()).find("earlier turn"), std::string::npos);
  EXPECT_EQ(learnt(tokenize(chat({"q", "one"}), kRewriting)), "one<end>");
  DatasetOptions everything;
  everything.loss_on = LossOn::kAll;
  const TokenSequence whole = tokenize(chat({"q", "one", "r", "two"}), kRewriting, everything);
  EXPECT_EQ(whole.labels, whole.ids);
}

TEST_F(Mask, ATemplateThatChangesAnAnswerAsAWholeIsAProblemOfTheRow) {
  // Earlier answers are written in capitals, and their end is another one.
  EXPECT_EQ(field_of_fault(chat({"q", "one", "r", "two"}),
                           "{% for m in messages %}{% if m.role == 'user' %}U{{ m.content }}{% elif loop.last %}"
                           "A{{ m.content }}<end>{% else %}A{{ m.content|upper }}.{% endif %}{% endfor %}"
                           "{% if add_generation_prompt %}A{% endif %}"),
            "messages[1]");
}

TEST_F(Mask, ATemplateThatRefusesIsAProblemOfTheRow) {
  EXPECT_NE(std::string(base::thrown([&] {
                          tokenize(chat({"q", "a"}), "{{ raise_exception('roles must alternate') }}");
                        }).what())
                .find("roles must alternate"),
            std::string::npos);
}

TEST_F(Mask, CutsAtMaxLength) {
  DatasetOptions options;
  options.max_length = 6;  // "U", "q", "A", "x", "y", "z"
  const MadeSequence made = make(chat({"q", "xyzxyz"}), kPlain, options);
  EXPECT_EQ(learnt(made.sequence), "xyz");
  EXPECT_EQ(made.full_length, 10);
}

TEST_F(Mask, TextEndsWithTheEndToken) {
  Conversation row;
  row.text = "hi";
  const TokenSequence sequence = tokenize(row, nullptr);
  EXPECT_EQ(sequence.ids, (std::vector<int32_t>{257, 259}));
  EXPECT_EQ(sequence.labels, sequence.ids);
}

TEST_F(Mask, TokensAreTakenAsTheyAre) {
  Conversation row;
  row.ids = {1, 2, 3};
  row.labels = {-100, 2, -100};
  EXPECT_EQ(tokenize(row, nullptr).labels, row.labels);
  row.ids[2] = 260;
  EXPECT_EQ(base::thrown([&] { tokenize(row, nullptr); }).where().field, "input_ids[2]");
}

TEST_F(Mask, OfAPairTheAnswersAreLearnt) {
  Conversation pair = chat({"q"});
  pair.chosen = Json::array({{{"role", "assistant"}, {"content", "good"}}});
  pair.rejected = Json::array({{{"role", "assistant"}, {"content", "no"}}});
  const TokenSequence sequence = tokenize(pair, kPlain);
  EXPECT_EQ(learnt(sequence), "good<end>");
  EXPECT_EQ(sequence.rejected_ids, tokenizer_.encode("UqAno<end>"));
  EXPECT_EQ(sequence.rejected_labels[2], -100);
  EXPECT_EQ(sequence.rejected_labels[3], 'n');
}

TEST_F(Mask, PlainPairsAreTakenAsTheyStand) {
  Conversation pair = chat({"q: A"});
  pair.chosen = Json::array({{{"role", "assistant"}, {"content", "b good"}}});
  pair.plain = true;
  DatasetOptions options;
  options.apply_chat_template = false;
  const TokenSequence sequence = tokenize(pair, nullptr, options);
  EXPECT_EQ(sequence.ids, tokenizer_.encode("q: Ab good<end>"));
  EXPECT_EQ(learnt(sequence), "Ab good<end>");  // the token across the border is the answer's
  const base::Error error = base::thrown([&] { tokenize(pair, nullptr); });
  EXPECT_NE(std::string(error.what()).find("apply_chat_template"), std::string::npos);
}

TEST_F(Mask, WhatConcernsTheWholeRunIsThrown) {
  EXPECT_EQ(base::thrown([&] { tokenize(chat({"q", "a"}), nullptr); }).code(), base::Code::kFailedPrecondition);
}

}  // namespace
}  // namespace masbak::trainer
