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
  base::Error model = refused(R"({"model": {"type": "Trigram", "vocab": []}})");
  EXPECT_EQ(model.code(), base::Code::kUnimplemented);
  EXPECT_THAT(model.what(), HasSubstr("Trigram"));
  EXPECT_EQ(model.where().field, "model");
  base::Error normalizer = refused(bpe(R"("vocab": {}, "merges": [])", R"(, "normalizer": {"type": "Rot13"})"));
  EXPECT_EQ(normalizer.code(), base::Code::kUnimplemented);
  EXPECT_EQ(normalizer.where().field, "normalizer");
  EXPECT_EQ(refused(bpe(R"("vocab": {}, "merges": [], "dropout": 0.1)")).code(), base::Code::kUnimplemented);
}

TEST_F(TokenizerTest, SaysWhereADamagedFileIsWrong) {
  EXPECT_EQ(refused("{\"model\":\n nonsense}").where().line, 2);
  EXPECT_EQ(refused(bpe(R"("vocab": {"a": "x"}, "merges": [])")).where().field, "model.vocab");
  EXPECT_EQ(refused(bpe(R"("vocab": {"a": 0, "b": 0}, "merges": [])")).where().field, "model.vocab");
  EXPECT_EQ(refused(bpe(R"("vocab": {"a": 4000000000}, "merges": [])")).where().field, "model.vocab");
  base::Error unknown = refused(bpe(R"("vocab": {"a": 0}, "merges": ["a a", "a b"])"));
  EXPECT_EQ(unknown.where().field, "model.merges[0]");
  EXPECT_THAT(unknown.what(), HasSubstr("\"aa\""));
  EXPECT_EQ(refused(bpe(R"("vocab": {"a": 0}, "merges": ["a"])")).where().field, "model.merges[0]");
  base::Error cycle =
      refused(bpe(R"("vocab": {"a": 0, "##": 1}, "merges": ["a ##"], "continuing_subword_prefix": "##")"));
  EXPECT_EQ(cycle.where().field, "model.merges[0]");
  EXPECT_THAT(cycle.what(), HasSubstr("cycle"));
  const std::string twice = R"({"id": 1, "content": "x"}, {"id": 1, "content": "y"})";
  EXPECT_EQ(refused(R"({"added_tokens": [)" + twice + R"(], "model": {"vocab": {}, "merges": []}})").where().field,
            "added_tokens[1]");
  EXPECT_EQ(refused(R"({"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}})").where().field, "model");
  EXPECT_EQ(refused(R"({"model": {"type": "Unigram", "vocab": [["a", "b"]]}})").where().field, "model.vocab[0]");
  EXPECT_EQ(refused(R"({"model": )" + std::string(100'000, '[')).code(), base::Code::kInvalidArgument);
  EXPECT_EQ(refused("{\"model\": \"\xC3(\"}").code(), base::Code::kInvalidArgument);
  base::Error regex =
      refused(bpe(R"("vocab": {}, "merges": [])",
                  R"(, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"})"));
  EXPECT_EQ(regex.code(), base::Code::kInvalidArgument);
  EXPECT_EQ(regex.where().field, "pre_tokenizer.pattern");
  EXPECT_EQ(regex.where().file, (folder_.path() / "tokenizer.json").string());
  std::filesystem::remove(folder_.path() / "tokenizer.json");
  EXPECT_THROW(load(), base::Error);
}

TEST_F(TokenizerTest, SaysWhereADamagedVocabularyFileIsWrong) {
  std::filesystem::remove(folder_.path() / "tokenizer.json");
  auto refused_as = [this](const std::string& name, const std::string& content) {
    write(name, content);
    base::Error found(base::Code::kUnknown, "");
    try {
      load();
    } catch (const base::Error& error) {
      found = error;
    }
    std::filesystem::remove(folder_.path() / name);
    EXPECT_EQ(found.code(), base::Code::kInvalidArgument) << found.describe();
    EXPECT_EQ(found.where().file, (folder_.path() / name).string());
    return found;
  };
  EXPECT_EQ(refused_as("tiktoken.model", "IQ== 0\nIg== 2\n").where().line, 2);
  EXPECT_EQ(refused_as("tiktoken.model", "IQ== 0\nIQ== 1\n").where().line, 2);
  EXPECT_EQ(refused_as("tiktoken.model", "*** 0\n").where().line, 1);
  EXPECT_THAT(refused_as("tiktoken.model", "IQ== 0\n").what(), HasSubstr("byte 0"));
  EXPECT_THAT(refused_as("tokenizer.model", "\n\xFF\xFF\xFF\x0F").what(), HasSubstr("its end inside field 1"));
  EXPECT_EQ(refused_as("tokenizer.model", "\n\x02\n\x01").where().field, "pieces[0]");
}

// Sums of what a stream gives, for decoders whose text depends on a token's neighbours.
TEST_F(TokenizerTest, StreamsThroughEveryDecoder) {
  const std::string vocabulary =
      R"("vocab": {"▁a": 0, "b": 1, "##c": 2, "d</w>": 3, "<0xE2>": 4, "<0x82>": 5, "<0xAC>": 6,)"
      R"( "|": 7}, "merges": [])";
  for (const char* decoder :
       {R"({"type": "WordPiece", "prefix": "##", "cleanup": false})", R"({"type": "BPEDecoder", "suffix": "</w>"})",
        R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"})",
        R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})",
        R"({"type": "CTC", "pad_token": "b", "word_delimiter_token": "|", "cleanup": true})"}) {
    write("tokenizer.json", bpe(vocabulary, std::string(R"(, "decoder": )") + decoder));
    Tokenizer tokenizer = load();
    for (const Ids& ids : {Ids{0, 1, 2, 3, 1, 0, 7, 2}, Ids{1, 4, 5, 6, 0, 4, 5, 6, 2}, Ids{3, 3, 0, 0, 7, 3, 1}}) {
      StreamDecoder stream(tokenizer, false);
      std::string all;
      for (int32_t id : ids) all += stream.push(id);
      EXPECT_EQ(all + stream.finish(), tokenizer.decode(ids)) << decoder;
    }
  }
}

TEST_F(TokenizerTest, EncodesABatchAsItsTexts) {
  Tokenizer tokenizer = load();
  std::vector<std::string> texts;
  for (int i = 0; i < 500; ++i) texts.push_back("pump " + std::to_string(i * 7919) + std::string(i % 13, 'x'));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const auto all = tokenizer.encode_batch(views, true, 3);
  ASSERT_EQ(all.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(all[i], tokenizer.encode(texts[i], true));
  EXPECT_THROW(tokenizer.encode_batch({"good", "\xFF"}), base::Error);
}

}  // namespace
}  // namespace masbak::models
