// Class patterns beside PCRE2 on random texts: the patterns of published tokenizers, and each construct.
#include "models/tokenizer/class_pattern.h"

#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "models/tokenizer/regex.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

// GPT-2, Llama 3, Qwen 2, DeepSeek V3 (three), GPT-4o and what Kimi K2 makes of it, and single constructs.
constexpr const char* kPatterns[] = {
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*)"
    R"(|\s*[\r\n]|\s+(?!\S)|\s+)",
    R"(\p{N}{1,3})",
    "[一-龥぀-ゟ゠-ヿ]+",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)",
    R"(a(?:b|bc)?c|[ab]{2,3}(?=c)|(?:e|é)+?)",
    R"((?:a|ab)(?:c|bcd)\d{2}|x(?!y)(?=[a-z])|.)",
    R"(\S+\s\h|\w\W\D)",
};
constexpr const char* kBeyond[] = {"^a",
                                   "a$",
                                   R"(\ba)",
                                   "(?<=a)b",
                                   "a*?b",
                                   "(a+)+",
                                   "a?",
                                   "a|",
                                   R"((a)\1)",
                                   "[[:alpha:]]",
                                   R"(\p{NoSuchScript})",
                                   "(?:ab){2,}"};

std::string random_text(std::mt19937& random) {
  static constexpr const char* kParts[] = {"a",  "b", "c",  "x",           "y",         "Ab",     "'s",     "'LL",
                                           "'ſ", " ", "  ", "\n",          "\r\n",      "\t",     "12",     "٣",
                                           "½",  ".", "-",  "é",           "e\u0301",   "ß",      "漢",     "かな",
                                           "ハ", "ع", "ﻻ",  "👩‍🏭", "\u00A0",    "\u3000", "\u200B", "Ⅷ",
                                           "ⅷ",  "ǅ", "ʰ",  "k\u212A",     "\U00016D6B"};
  std::string text;
  for (int i = static_cast<int>(random() % 30); i >= 0; --i) {
    if (random() % 6 == 0) {
      const char32_t point = random() % (random() % 2 ? 0x3000 : 0x32000);
      if (point < 0xD800 || point > 0xDFFF) append_utf8(text, point);
    } else {
      text += kParts[random() % std::size(kParts)];
    }
  }
  return text;
}

TEST(ClassPattern, MatchesAsPcre2DoesOnRandomTexts) {
  std::mt19937 random(7);
  for (const char* expression : kPatterns) {
    const Regex fast(expression), slow = Regex::in_pcre2(expression);
    // The one with a lazy repetition is there for PCRE2's sake alone.
    EXPECT_EQ(fast.is_class_pattern(), std::string(expression).find("+?") == std::string::npos) << expression;
    for (int i = 0; i < 600; ++i) {
      const std::string text = random_text(random);
      std::string buffer;
      const std::string_view readable = slow.readable(text, buffer);
      for (size_t at = 0; at < text.size();) {
        const auto expected = slow.find(readable, at);
        ASSERT_EQ(fast.find(text, at), expected) << expression << " in " << text << " from " << at;
        if (!expected || expected->second == at) break;
        at = expected->second;
      }
    }
  }
}

TEST(ClassPattern, LeavesToPcre2WhatIsBeyondIt) {
  for (const char* expression : kBeyond) EXPECT_EQ(ClassPattern::compile(expression), nullptr) << expression;
}

TEST(ClassPattern, EndsWhereAPatternBacktracksTooMuch) {
  const auto pattern = ClassPattern::compile(R"(\w*\w*\w*\w*\w*\w*b)");
  ASSERT_NE(pattern, nullptr);
  try {
    pattern->find(std::string(200, 'a'), 0);
    ADD_FAILURE() << "found an end";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kResourceExhausted);
  }
}

}  // namespace
}  // namespace masbak::models
