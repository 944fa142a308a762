// Chat templates against the golden file, their limits, and where they are read from.
#include "models/tokenizer/chat_template.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "tests/base/temporary_folder.h"
#include "tests/models/tokenizer/golden.h"

namespace masbak::models {
namespace {

using testing::HasSubstr;

std::string text_of(std::string_view source, const base::Json& context = {{"messages", base::Json::array()}}) {
  return ChatTemplate::compile(source).render(context).text;
}

base::Error refused(std::string_view source, const base::Json& context = {{"messages", base::Json::array()}}) {
  try {
    text_of(source, context);
  } catch (const base::Error& error) {
    return error;
  }
  ADD_FAILURE() << "rendered: " << source;
  return {base::Code::kUnknown, ""};
}

TEST(ChatTemplate, AgreesWithTheGoldenFile) {
  size_t rendered = 0, errors = 0;
  for (const base::Json& row : golden("templates.json")) {
    std::string source = row["template"].get<std::string>();
    for (const base::Json& expected : row["renders"]) {
      SCOPED_TRACE(row["name"].get<std::string>() + ": " + source);
      if (expected.contains("error")) {
        EXPECT_EQ(refused(source, expected["context"]).code(), base::Code::kInvalidArgument);
        ++errors;
        continue;
      }
      RenderedChat chat = ChatTemplate::compile(source).render(expected["context"]);
      EXPECT_EQ(chat.text, expected["text"].get<std::string>());
      base::Json ranges = base::Json::array();
      for (const auto& [begin, end] : chat.generation) ranges.push_back({begin, end});
      EXPECT_EQ(ranges, expected["generation"]);
      ++rendered;
    }
  }
  EXPECT_GE(rendered, 80u);
  EXPECT_GE(errors, 20u);
}

TEST(ChatTemplate, FailsInTheTemplatesOwnWords) {
  base::Error error = refused("\n{{ raise_exception('No tools, ' ~ 'please') }}");
  EXPECT_STREQ(error.what(), "No tools, please");
  EXPECT_EQ(error.where().line, 2);
}

TEST(ChatTemplate, SaysTheLineOfAFault) {
  EXPECT_EQ(refused("{% if true %}\n{{ nothing.at.all }}{% endif %}").where().line, 2);
  EXPECT_THAT(refused("{% if true %}\n{{ nothing.at.all }}{% endif %}").what(), HasSubstr("'nothing' is undefined"));
  EXPECT_EQ(refused("a\nb\n{% if %}").where().line, 3);
  EXPECT_EQ(refused("{{ 'open }}").code(), base::Code::kInvalidArgument);
}

TEST(ChatTemplate, StopsAtItsLimits) {
  const char* const kHostile[] = {
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{{ 'x' * 100000000000 }}",
      "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}",
      "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
      "{{ 'a'.replace('', 'x' * 60000000) }}",
      "{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns }}",
      "{{ '%99999999d' % 1 }}",
      "{% set ns = namespace(l=[], m=[]) %}{% for i in range(150) %}{% set ns.l = [ns.l, ns.l] %}"
      "{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
      "{% set big = range(100000) %}{% for i in big %}{% for j in big %}{% break %}{% endfor %}{% endfor %}",
      "{% set s = 'a' * 30000000 %}{% for i in range(1000) %}{{ s.find('a' * 10000000 ~ 'b') }}{% endfor %}",
      "{{ ('{0}' * 1000).format('x' * 1000000) }}",
      "{% set s = 'x' * 60000000 %}{{ (s ~ s ~ s ~ s)|length }}",
      "{{ 'x'.center(99999999999) }}",
  };
  for (const char* source : kHostile) {
    base::Error error = refused(source);
    EXPECT_TRUE(error.code() == base::Code::kResourceExhausted || error.code() == base::Code::kInvalidArgument)
        << source << ": " << error.describe();
  }
  EXPECT_EQ(refused(kHostile[0]).code(), base::Code::kResourceExhausted);
  EXPECT_EQ(refused(kHostile[1]).code(), base::Code::kResourceExhausted);
}

TEST(ChatTemplate, RefusesTemplatesThatNestTooDeep) {
  std::string parentheses = "{{ " + std::string(100000, '(') + std::string(100000, ')') + " }}";
  std::string sum = "{{ 1", attributes = "{{ x", blocks;
  for (int i = 0; i < 100000; ++i) {
    sum += "+1";
    attributes += ".a";
    blocks += "{% if true %}";
  }
  for (const std::string& source : {parentheses, sum + " }}", attributes + " }}", blocks}) {
    EXPECT_EQ(refused(source).code(), base::Code::kResourceExhausted);
  }
}

TEST(ChatTemplate, ChangesNothingThatItIsGiven) {
  base::Json context = {{"messages", {{{"role", "user"}}}}};
  EXPECT_THAT(refused("{% set x = messages.append(1) %}", context).what(), HasSubstr("unsafe"));
  EXPECT_THAT(refused("{{ messages[0].update({}) }}", context).what(), HasSubstr("unsafe"));
}

TEST(ChatTemplate, IsReadFromEitherFile) {
  base::TemporaryFolder folder;
  EXPECT_THROW(ChatTemplate::load(folder.path()), base::Error);
  write_file(folder.path() / "tokenizer_config.json",
             R"({"bos_token": "<s>", "chat_template": [{"name": "rag", "template": "r"},
                                                         {"name": "default", "template": "{{ bos_token }}d"}]})");
  base::Json context = {{"messages", base::Json::array()}};
  EXPECT_EQ(ChatTemplate::load(folder.path()).render(context).text, "<s>d");
  write_file(folder.path() / "chat_template.jinja", "{{ bos_token }}file");
  EXPECT_EQ(ChatTemplate::load(folder.path()).render(context).text, "<s>file");
  write_file(folder.path() / "chat_template.jinja", "\n{% nonsense %}");
  try {
    ChatTemplate::load(folder.path());
    ADD_FAILURE() << "loaded a template with an unknown tag";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.where().line, 2);
    EXPECT_THAT(error.where().file, HasSubstr("chat_template.jinja"));
  }
}

TEST(ChatTemplate, ChoosesAmongSeveralTemplatesAsTransformersDoes) {
  base::TemporaryFolder folder;
  write_file(folder.path() / "tokenizer_config.json",
             R"({"chat_template": [{"name": "default", "template": "usual"}, {"name": "tool_use", "template": "tools"},
                                  {"name": "broken", "template": "{% if %}"}]})");
  const base::Json plain = {{"messages", base::Json::array()}};
  base::Json tools = plain, rag = plain, own = plain, broken = plain;
  tools["tools"] = base::Json::array();
  rag["chat_template"] = "rag";
  own["chat_template"] = "{{ messages | length }} own";
  broken["chat_template"] = "broken";
  const ChatTemplate configured = ChatTemplate::load(folder.path());
  EXPECT_EQ(configured.render(plain).text, "usual");
  EXPECT_EQ(configured.render(tools).text, "tools");
  EXPECT_EQ(configured.render(rag).text, "rag");  // no such name: the text of a template
  EXPECT_EQ(configured.render(own).text, "0 own");
  EXPECT_THROW(configured.render(broken), base::Error);
  std::filesystem::create_directory(folder.path() / "additional_chat_templates");
  write_file(folder.path() / "additional_chat_templates" / "rag.jinja", "from a file");
  const ChatTemplate from_files = ChatTemplate::load(folder.path());  // files win
  EXPECT_EQ(from_files.render(rag).text, "from a file");
  EXPECT_THAT([&] { from_files.render(plain); },
              testing::Throws<base::Error>(testing::Property(&base::Error::what, HasSubstr("\"default\", found rag"))));
}

TEST(ChatTemplate, ContinuesTheFinalMessage) {
  const char* source = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}";
  base::Json context = {{"messages", {{{"role", "user"}, {"content", "Go"}}, {{"role", "a"}, {"content", "So "}}}},
                        {"continue_final_message", true}};
  EXPECT_EQ(text_of(source, context), "<user>Go</><a>So");
  context["messages"][1].erase("content");
  EXPECT_EQ(refused(source, context).where().field, "continue_final_message");
}

TEST(ChatTemplate, ReadsJsonTextAsItReadsDocuments) {
  const char* json = R"({"messages": [{"role": "user", "content": "\u0641\ud83d\udc77\n"}],
                         "big": 123456789012345678901234567890, "f": 1.50, "e": 1e3})";
  const ChatTemplate chat =
      ChatTemplate::compile("{{ messages }} {{ big | tojson }} {{ big is integer }} {{ f }} {{ e }}");
  EXPECT_EQ(chat.render(ChatContext::parse(json)).text,
            "[{'role': 'user', 'content': 'ف👷\\n'}] 123456789012345678901234567890 True 1.5 1000.0");
  for (const char* bad : {"[1]", "{\"a\": 1, \"a\": 2}", "{\"a\": 01}", "{\"a\": \"\\ud800\"}", "{\"a\": 1} x", "{",
                          "{\"messages\": 3}", "{\"messages\": [\"x\"]}", "{\"tools\": [3]}"}) {
    try {
      ChatContext::parse(bad, "rows.jsonl", 7);
      ADD_FAILURE() << "accepted " << bad;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.code(), base::Code::kInvalidArgument) << bad;
    }
  }
}

TEST(ChatTemplate, RefusesArithmeticPast64Bits) {
  const base::Json context = {{"messages", base::Json::array()}, {"big", 18446744073709551615u}};
  EXPECT_EQ(text_of("{{ big }}", context), "18446744073709551615");
  EXPECT_THAT(refused("{{ big + 1 }}", context).what(), HasSubstr("64 bits"));
  EXPECT_THAT(refused("{{ 9223372036854775807 + 1 }}").what(), HasSubstr("64 bits"));
}

TEST(ChatTemplate, ServesSeveralThreads) {
  const ChatTemplate chat =
      ChatTemplate::compile("{% set x = 'é' %}{% for i in range(9) %}{{ x ~ [1, 'a'] }}{% endfor %}");
  const std::string expected = chat.render(base::Json{{"messages", base::Json::array()}}).text;
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 200; ++k)
        wrong += chat.render(base::Json{{"messages", base::Json::array()}}).text != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace masbak::models
