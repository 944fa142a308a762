// Tokenizer against the golden file, its special tokens, its errors, and decoding as a stream.
#include "models/tokenizer/tokenizer.h"

#include <gmock/gmock.h>

#include <thread>

#include "base/error.h"
#include "tests/base/temporary_folder.h"
#include "tests/models/tokenizer/golden.h"

namespace masbak::models {
namespace {

using Ids = std::vector<int32_t>;
using testing::ElementsAre;
using testing::HasSubstr;

class TokenizerTest : public testing::Test {
 protected:
  TokenizerTest() {
    write("tokenizer.json", file_text(golden_file("tokenizer.json")));
    write("tokenizer_config.json", R"({"bos_token": {"content": "<|im_start|>"}, "eos_token": "<|im_end|>",
                                        "pad_token": "<pad>"})");
    write("generation_config.json", R"({"eos_token_id": [416, 7]})");
  }
  void write(const std::string& name, const std::string& text) { write_file(folder_.path() / name, text); }
  Tokenizer load() const { return Tokenizer::load(folder_.path()); }

  // Loads a file that must be refused, and gives the error.
  base::Error refused(const std::string& json) {
    write("tokenizer.json", json);
    try {
      load();
    } catch (const base::Error& error) {
      return error;
    }
    ADD_FAILURE() << "loaded: " << json;
    return {base::Code::kUnknown, ""};
  }

  base::TemporaryFolder folder_;
};

std::string bpe(const std::string& fields, const std::string& rest = "") {
  return R"({"added_tokens": [], "model": {"type": "BPE", )" + fields + "}" + rest + "}";
}

TEST_F(TokenizerTest, AgreesWithTheGoldenFile) {
  Tokenizer tokenizer = load();
  size_t compared = 0;
  for (const base::Json& row : golden("tokenizer_cases.json")) {
    if (row.contains("broken")) {
      EXPECT_EQ(tokenizer.decode(row["broken"].get<Ids>()), row["text"].get<std::string>());
      continue;
    }
    std::string text = row["text"].get<std::string>();
    Ids ids = row["ids"].get<Ids>();
    EXPECT_EQ(tokenizer.encode(text), ids) << text;
    EXPECT_EQ(tokenizer.encode(text, true), row["with_special"].get<Ids>()) << text;
    EXPECT_EQ(tokenizer.decode(ids), row["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids, true), row["without_special"].get<std::string>());
    ++compared;
  }
  EXPECT_GE(compared, 80u);
}

TEST_F(TokenizerTest, KnowsItsSpecialTokens) {
  Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.bos_token(), "<|im_start|>");
  EXPECT_EQ(tokenizer.bos_id(), tokenizer.token_id("<|im_start|>"));
  EXPECT_EQ(tokenizer.eos_token(), "<|im_end|>");
  EXPECT_EQ(tokenizer.pad_id(), tokenizer.token_id("<pad>"));
  EXPECT_THAT(tokenizer.eos_ids(), ElementsAre(*tokenizer.token_id("<|im_end|>"), 7));
  EXPECT_EQ(tokenizer.vocabulary_size(), 420u);
  EXPECT_EQ(tokenizer.token_id("no such token"), std::nullopt);
}

TEST_F(TokenizerTest, StreamsWholeCharactersThatAddUpToTheText) {
  Tokenizer tokenizer = load();
  for (const base::Json& row : golden("tokenizer_cases.json")) {
    if (!row.contains("ids")) continue;
    Ids ids = row["ids"].get<Ids>();
    StreamDecoder stream(tokenizer, false);
    std::string all;
    for (int32_t id : ids) {
      std::string piece = stream.push(id);
      EXPECT_NO_THROW(base::Json(piece).dump()) << "a piece that is not UTF-8";
      all += piece;
    }
    EXPECT_EQ(all + stream.finish(), tokenizer.decode(ids));
  }
}

TEST_F(TokenizerTest, GivesEveryThreadTheSameIds) {
  Tokenizer tokenizer = load();
  base::Json rows = golden("tokenizer_cases.json");
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&tokenizer, &rows, &count] {
      for (const base::Json& row : rows) {
        if (row.contains("ids")) count += tokenizer.encode(row["text"].get<std::string>()) != row["ids"].get<Ids>();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

TEST_F(TokenizerTest, RefusesTextAndIdsThatAreNotItsOwn) {
  Tokenizer tokenizer = load();
  try {
    tokenizer.encode("ab\xC3(");
    ADD_FAILURE() << "took ill-formed UTF-8";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("offset 2"));
  }
  for (int32_t id : {-1, 420, 1 << 30}) {
    try {
      tokenizer.decode({id});
      ADD_FAILURE() << "decoded " << id;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.code(), base::Code::kOutOfRange);
    }
  }
}

TEST_F(TokenizerTest, ReadsMergesInBothNotations) {
  for (const char* merges : {R"(["a b", "ab c"])", R"([["a", "b"], ["ab", "c"]])"}) {
    write("tokenizer.json",
          bpe(R"("vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4}, "merges": )" + std::string(merges)));
    EXPECT_THAT(load().encode("abcab"), ElementsAre(4, 3));
  }
}

TEST_F(TokenizerTest, MergesLongWordsAsShortOnes) {
  write("tokenizer.json",
        bpe(R"("vocab": {"a": 0, "b": 1, "ab": 2, "ba": 3, "abab": 4}, "merges": ["a b", "b a", "ab ab"])"));
  Tokenizer tokenizer = load();
  Ids expected;
  std::string text;
  for (int i = 0; i < 5000; ++i) {
    text += "abab";
    expected.push_back(4);
  }
  EXPECT_EQ(tokenizer.encode(text), expected);
}

TEST_F(TokenizerTest, NamesWhatItDoesNotImplement) {
  base::Error unigram = refused(R"({"model": {"type": "Unigram", "vocab": []}})");
  EXPECT_EQ(unigram.code(), base::Code::kUnimplemented);
  EXPECT_THAT(unigram.what(), HasSubstr("Unigram"));
  EXPECT_EQ(unigram.where().field, "model");
  base::Error normalizer = refused(bpe(R"("vocab": {}, "merges": [])", R"(, "normalizer": {"type": "Nmt"})"));
  EXPECT_EQ(normalizer.code(), base::Code::kUnimplemented);
  EXPECT_EQ(normalizer.where().field, "normalizer");
  EXPECT_EQ(refused(bpe(R"("vocab": {}, "merges": [], "dropout": 0.1)")).code(), base::Code::kUnimplemented);
}

TEST_F(TokenizerTest, SaysWhereADamagedFileIsWrong) {
  EXPECT_EQ(refused("{\"model\":\n nonsense}").where().line, 2);
  EXPECT_EQ(refused(bpe(R"("vocab": {"a": "x"}, "merges": [])")).where().field, "model.vocab");
  EXPECT_EQ(refused(bpe(R"("vocab": {"a": 0}, "merges": ["a b"])")).where().field, "model.merges");
  EXPECT_EQ(refused(bpe(R"("vocab": {"a": 0}, "merges": ["a"])")).where().field, "model.merges");
  base::Error regex =
      refused(bpe(R"("vocab": {}, "merges": [])",
                  R"(, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"})"));
  EXPECT_EQ(regex.code(), base::Code::kInvalidArgument);
  EXPECT_EQ(regex.where().field, "pre_tokenizer.pattern");
  std::filesystem::remove(folder_.path() / "tokenizer.json");
  EXPECT_THROW(load(), base::Error);
}

}  // namespace
}  // namespace masbak::models
