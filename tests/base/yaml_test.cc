#include <gtest/gtest.h>

#include <string>

#include "base/document.h"
#include "base/located_json.h"
#include "tests/base/thrown.h"

namespace masbak::base {
namespace {

Json parse(const std::string& text) { return parse_located_yaml(text, "run.yaml").value; }
Error fault(const std::string& text) {
  return thrown([&] { parse(text); });
}

TEST(Yaml, ResolvesPlainScalarsByTheCoreSchema) {
  struct Case {
    const char* text;
    Json value;
  };
  const Case cases[] = {
      {"", nullptr},      {"~", nullptr},     {"null", nullptr}, {"true", true},   {"False", false},
      {"0", 0},           {"-12", -12},       {"+3", 3},         {"0o17", 15},     {"0x1F", 31},
      {"007", 7},         {"2e-4", 2e-4},     {"2.0e-4", 2e-4},  {"1E3", 1000.0},  {".5", 0.5},
      {"5.", 5.0},        {"-1.5", -1.5},     {"+.5e1", 5.0},    {"yes", "yes"},   {"no", "no"},
      {"on", "on"},       {"1_000", "1_000"}, {"1:30", "1:30"},  {"0b11", "0b11"}, {"2026-05-01", "2026-05-01"},
      {"1.2.3", "1.2.3"}, {"e5", "e5"},       {".", "."},        {"-x", "-x"},     {"0x", "0x"},
      {"1e", "1e"},       {"nULL", "nULL"},   {"tRue", "tRue"},  {"--1", "--1"},   {"a b", "a b"},
  };
  for (const Case& test : cases) {
    const Json value = parse(std::string("k: ") + test.text + "\n")["k"];
    EXPECT_EQ(value, test.value) << test.text;
    EXPECT_EQ(value.type() == Json::value_t::number_float, test.value.type() == Json::value_t::number_float)
        << test.text;
  }
}

TEST(Yaml, KeepsQuotedAndBlockScalarsAsText) {
  EXPECT_EQ(parse("k: \"2e-4\"")["k"], "2e-4");
  EXPECT_EQ(parse("k: 'true'")["k"], "true");
  EXPECT_EQ(parse("k: ''")["k"], "");
  EXPECT_EQ(parse("k: 'it''s'")["k"], "it's");
  EXPECT_EQ(parse("k: |\n  12\n")["k"], "12\n");
  EXPECT_EQ(parse("k: !!str 12")["k"], "12");
  EXPECT_EQ(parse("k: !!float 12")["k"].type(), Json::value_t::number_float);
}

TEST(Yaml, KnowsTheLineOfEachPart) {
  const LocatedJson document = parse_located_yaml("# head\na: 1\nb:\n  c/d: [1,\n    2]\n  e: {f: 1}\n", "r");
  EXPECT_EQ(document.lines.at("/a"), 2);
  EXPECT_EQ(document.lines.at("/b"), 3);
  EXPECT_EQ(document.lines.at("/b/c~1d"), 4);
  EXPECT_EQ(document.lines.at("/b/c~1d/1"), 5);
  EXPECT_EQ(document.lines.at("/b/e/f"), 6);
}

TEST(Yaml, RefusesWithFileAndLine) {
  struct Case {
    const char* text;
    int line;
    const char* says;
  };
  const Case cases[] = {
      {"a: 1\nb: 2\na: 3\n", 3, "appears twice"},
      {"a:\n  x: 1\n  \"x\": 2\n", 3, "appears twice"},
      {"a: [1,\n 2\n", 3, "fault"},
      {"a: 1\n\tb: 2\n", 2, "fault"},
      {"a: \"open\nb: 2\n", 1, "closed"},
      {"a: 'open''\n", 1, "closed"},
      {"a: 1\n---\nb: 2\n", 3, "second one"},
      {"a: 1\nb: \xff\n", 2, "0xff"},
      {"a: 1\nb: \x04 x\n", 2, "0x04"},
      {"a: 1\nb: .inf\n", 2, "finite"},
      {"a: -.INF\n", 1, "finite"},
      {"a: .nan\n", 1, "finite"},
      {"a: 99999999999999999999\n", 1, "64 bits"},
      {"a: 1e999\n", 1, "double"},
      {"a: !!int x\n", 1, "tag"},
      {"a: !python/object x\n", 1, "tag"},
      {"a: *nobody\n", 1, "fault"},
      {"[1, 2]: x\n", 1, "expected a name"},
  };
  for (const Case& test : cases) {
    const Error error = fault(test.text);
    EXPECT_EQ(error.code(), Code::kInvalidArgument) << test.text;
    EXPECT_EQ(error.where().file, "run.yaml") << test.text;
    EXPECT_EQ(error.where().line, test.line) << test.text << error.describe();
    EXPECT_NE(std::string(error.what()).find(test.says), std::string::npos) << test.text << error.describe();
  }
}

TEST(Yaml, FindsTheOpenQuoteAlsoBehindAByteOrderMark) {
  EXPECT_EQ(parse("\xef\xbb\xbf"
                  "a: \"x\"\n")["a"],
            "x");
  EXPECT_NE(std::string(fault("\xef\xbb\xbf"
                              "a: \"x\n")
                            .what())
                .find("closed"),
            std::string::npos);
  EXPECT_EQ(parse("größe: \"ü \\\" '\"\r\nb: 'x'\r\n")["b"], "x");
}

TEST(Yaml, RefusesAliasesThatBlowTheDocumentUp) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string last = "*a" + std::to_string(i - 1), name = "a" + std::to_string(i);
    text += name + ": &" + name + " [" + last;
    for (int j = 0; j < 9; ++j) text += ", " + last;
    text += "]\n";
  }
  EXPECT_NE(std::string(fault(text).what()).find("200000"), std::string::npos);
  EXPECT_EQ(parse("a: &a [1, 2]\nb: *a\n")["b"], Json::parse("[1, 2]"));
}

TEST(Yaml, RefusesBottomlessNesting) {
  EXPECT_EQ(fault("a: " + std::string(5000, '[') + std::string(5000, ']')).code(), Code::kInvalidArgument);
  EXPECT_EQ(fault("a: &a [*a]\n").code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace masbak::base
