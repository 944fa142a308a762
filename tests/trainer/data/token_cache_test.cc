#include "trainer/data/token_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;

class TokenCache : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("MASBAK_CACHE", (folder_ / "cache").c_str(), 1);
    unsetenv("MASBAK_TOKEN_CACHE_BYTES");
    base::write_file_durably(folder_ / "model" / "config.json", R"({"vocab_size": 1000})");
    write(6000);
  }
  // Larger than what is tokenised in memory.
  void write(int rows, const std::string& name = "d.jsonl") {
    std::string text;
    for (int i = 0; i < rows; ++i) {
      base::Json ids = base::Json::array();
      for (int k = 0; k < 100 + i % 50; ++k) ids.push_back(100 + (i * 31 + k) % 800);
      text += base::Json{{"input_ids", ids}, {"labels", ids}}.dump() + "\n";
    }
    base::write_file_durably(folder_ / name, text + "{\"input_ids\": [1000], \"labels\": [1]}\n");
  }
  LoadedDataset load(DatasetOptions options = {}, const std::string& name = "d.jsonl") {
    said_.clear();
    return load_dataset(folder_ / name, folder_ / "model", options, [&](const std::string& line) { said_ += line; });
  }
  size_t entries() const {
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder_ / "cache" / "tokens")) count += entry.is_directory();
    return count;
  }

  base::TemporaryFolder folder_;
  std::string said_;
};

TEST_F(TokenCache, GivesTheSameTokensFromTheFileAndFromTheCache) {
  const LoadedDataset first = load(), second = load();
  EXPECT_FALSE(first.reused);
  EXPECT_TRUE(second.reused);
  EXPECT_EQ(said_, "");
  ASSERT_EQ(second.examples.size(), 6000);
  EXPECT_EQ(second.report.to_json(), first.report.to_json());
  EXPECT_EQ(second.report.bad_rows, 1);
  EXPECT_GT(second.report.percentile(0.9), 100);
  for (int64_t i = 0; i < 6000; i += 7) {
    const TokenView a = first.examples[i], b = second.examples[i];
    ASSERT_TRUE(std::equal(a.ids.begin(), a.ids.end(), b.ids.begin(), b.ids.end()));
    ASSERT_TRUE(std::equal(a.labels.begin(), a.labels.end(), b.ids.begin(), b.ids.end()));
    ASSERT_EQ(b.line, i + 1);
    ASSERT_EQ(b.ids[0], 100 + (i * 31) % 800);
    ASSERT_EQ(second.examples.tokens(i), static_cast<int64_t>(b.ids.size()));
  }
  std::vector<RowNote> notes;
  second.notes.for_each([&](const RowNote& note) { notes.push_back(note); });
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].line, 6001);
  EXPECT_EQ(notes[0].field, "input_ids[0]");
}

TEST_F(TokenCache, WhateverHasAPartInTheTokensMakesThemAnew) {
  load();
  DatasetOptions shorter;
  shorter.max_length = 64;
  EXPECT_FALSE(load(shorter).reused);
  DatasetOptions exact;
  exact.deduplicate = Deduplicate::kExact;
  EXPECT_FALSE(load(exact).reused);
  base::write_file_durably(folder_ / "model" / "config.json", R"({"vocab_size": 900})");
  EXPECT_FALSE(load().reused);
  write(6001);
  EXPECT_FALSE(load().reused);
  EXPECT_EQ(entries(), 5u);
}

TEST_F(TokenCache, ADamagedEntryIsMadeAnew) {
  load();
  for (const auto& entry : fs::directory_iterator(folder_ / "cache" / "tokens")) {
    fs::resize_file(entry.path() / "tokens", 1000);
  }
  const LoadedDataset again = load();
  EXPECT_FALSE(again.reused);
  EXPECT_EQ(again.examples.size(), 6000);
}

TEST_F(TokenCache, StaysWithinItsBoundButNeverTakesWhatIsInUse) {
  setenv("MASBAK_TOKEN_CACHE_BYTES", "1000", 1);
  {
    const LoadedDataset used = load();
    write(6100, "e.jsonl");
    load({}, "e.jsonl");
    EXPECT_EQ(entries(), 2u);
    EXPECT_EQ(used.examples[5999].line, 6000);
  }
  write(6200, "f.jsonl");
  load({}, "f.jsonl");
  EXPECT_EQ(entries(), 1u);
  EXPECT_NE(said_.find("removed"), std::string::npos);
}

TEST_F(TokenCache, NothingHalfMadeStaysBehind) {
  base::write_file_durably(folder_ / "bad.jsonl", std::string(5 << 20, '\n'));
  EXPECT_THROW(load({}, "bad.jsonl"), base::Error);
  fs::create_directories(folder_ / "cache" / "tokens" / ".abc.tmp-999999999-0");
  load();
  EXPECT_EQ(entries(), 1u) << "what a killed run left behind was not removed";
}

TEST_F(TokenCache, SelectionsAndJoinsKeepTheirOrder) {
  const Examples all = load().examples;
  const Examples some = all.select({5, 3, 5999});
  ASSERT_EQ(some.size(), 3);
  EXPECT_EQ(some[0].line, 6);
  EXPECT_EQ(some[2].line, 6000);
  const Examples both = Examples::joined({some, Examples({TokenSequence{{1}, {1}, 77}}), some});
  ASSERT_EQ(both.size(), 7);
  EXPECT_EQ(both[3].line, 77);
  EXPECT_EQ(both[5].line, 4);
  const Examples mixed = both.select({6, 3, 0});
  EXPECT_EQ(mixed[0].line, 6000);
  EXPECT_EQ(mixed[1].line, 77);
  EXPECT_EQ(mixed[2].line, 6);
  EXPECT_EQ(mixed.tokens(2), all.tokens(5));
}

}  // namespace
}  // namespace masbak::trainer
