#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/document.h"
#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::base {
namespace {

Fields yaml(const std::string& text) { return Fields::from_yaml_text(text, "run.yaml"); }

TEST(Fields, ReadsEachType) {
  const Fields run = yaml(
      "flag: true\ncount: 3\nrate: 2e-4\nwhole: 4\nname: pump\nnames: [a, 'b']\ncounts: [1, 2]\nrates: [1, 2.5]\n");
  EXPECT_TRUE(run.get<bool>("flag"));
  EXPECT_EQ(run.get<int64_t>("count"), 3);
  EXPECT_DOUBLE_EQ(run.get<double>("rate"), 2e-4);
  EXPECT_DOUBLE_EQ(run.get<double>("whole"), 4.0);
  EXPECT_EQ(run.get<std::string>("name"), "pump");
  EXPECT_EQ(run.get<std::vector<std::string>>("names"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(run.get<std::vector<int64_t>>("counts"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(run.get<std::vector<double>>("rates"), (std::vector<double>{1.0, 2.5}));
  EXPECT_EQ(run.get<int64_t>("absent", 7), 7);
  EXPECT_NO_THROW(run.finish());
}

TEST(Fields, RefusesAWrongTypeWithFileLineFieldAndWhatWasFound) {
  const Fields run = yaml("training:\n  seed: 1.5\n  rate: fast\n  flag: yes\n  name: 3\n  list: a\n  mixed: [a, 1]\n");
  const Fields training = run.child("training");
  const auto describe = [](const std::function<void()>& work) { return thrown(work).describe(); };
  EXPECT_EQ(describe([&] { training.get<int64_t>("seed"); }),
            "INVALID_ARGUMENT: expected an integer, found the number 1.5 (run.yaml:2, training.seed)");
  EXPECT_EQ(describe([&] { training.get<double>("rate"); }),
            "INVALID_ARGUMENT: expected a number, found the text \"fast\"; write the number without quotes "
            "(run.yaml:3, training.rate)");
  EXPECT_EQ(describe([&] { training.get<bool>("flag", false); }),
            "INVALID_ARGUMENT: expected true or false, found the text \"yes\"; write true or false, without quotes "
            "(run.yaml:4, training.flag)");
  EXPECT_EQ(describe([&] { training.get<std::string>("name"); }),
            "INVALID_ARGUMENT: expected a text, found the number 3; put it in quotes (run.yaml:5, training.name)");
  EXPECT_NE(describe([&] { training.get<std::vector<std::string>>("list"); }).find("in brackets"), std::string::npos);
  EXPECT_NE(describe([&] { training.get<std::vector<std::string>>("mixed"); }).find("the number 1 at position 2"),
            std::string::npos);
  EXPECT_NE(describe([&] { training.child("seed"); }).find("expected a mapping"), std::string::npos);
}

TEST(Fields, RefusesNumbersThatDoNotFit) {
  const Fields fields = Fields::from_json(parse_json(R"({"big":18446744073709551615,"float":1.0})"), "d.jsonl", 9);
  EXPECT_EQ(thrown([&] { fields.get<int64_t>("big"); }).where().line, 9);
  EXPECT_EQ(thrown([&] { fields.get<int64_t>("float"); }).code(), Code::kInvalidArgument);
  EXPECT_DOUBLE_EQ(fields.get<double>("big"), 18446744073709551616.0);
}

TEST(Fields, NamesTheNearestKnownKeyForAnUnknownOne) {
  const Fields run = yaml("model: m\ntraining:\n  learning_rat: 1\n  max_steps: 2\n");
  run.get<std::string>("model");
  const Fields training = run.child("training");
  training.get<double>("learning_rate", 1.0);
  training.get<int64_t>("max_steps", 1);
  EXPECT_EQ(thrown([&] { training.finish(); }).describe(),
            "INVALID_ARGUMENT: unknown key \"learning_rat\"; did you mean \"learning_rate\"? "
            "(run.yaml:3, training.learning_rat)");
  EXPECT_NO_THROW(run.finish());
}

TEST(Fields, ListsWhatIsKnownWhenNothingIsNear) {
  const Fields run = yaml("zebra: 1\nquux: 2\n");
  run.accept({"model", "dataset"});
  EXPECT_EQ(
      thrown([&] { run.finish(); }).describe(),
      "INVALID_ARGUMENT: unknown key \"zebra\"; known here: dataset, model (also unknown: quux) (run.yaml:1, zebra)");
}

TEST(Fields, SaysWhatIsMissingAndWhetherItIsMisspelt) {
  const Fields run = yaml("a: 1\ndataset:\n  trian: x.jsonl\n");
  EXPECT_EQ(thrown([&] { run.get<std::string>("model"); }).describe(),
            "INVALID_ARGUMENT: expected a text under \"model\", found nothing; add it (run.yaml:1, model)");
  EXPECT_EQ(thrown([&] { run.child("dataset").get<std::string>("train"); }).describe(),
            "INVALID_ARGUMENT: expected a text under \"train\", found only \"trian\"; correct its spelling "
            "(run.yaml:2, dataset.train)");
  EXPECT_NE(thrown([&] { run.require_child("training"); }).describe().find("(run.yaml:1, training)"),
            std::string::npos);
}

TEST(Fields, TreatsNullAndAnEmptyFileAsNothing) {
  const Fields run = yaml("training:\nname: ~\n");
  EXPECT_FALSE(run.has("name"));
  EXPECT_EQ(run.get<std::string>("name", "x"), "x");
  EXPECT_TRUE(run.child("training").keys().empty());
  EXPECT_NO_THROW(run.finish());
  EXPECT_TRUE(yaml("# only a comment\n").keys().empty());
  EXPECT_TRUE(yaml("").keys().empty());
  EXPECT_NE(thrown([] { yaml("- a\n"); }).describe().find("expected a mapping"), std::string::npos);
}

TEST(Fields, SharesItsMarksBetweenCopiesAndRepeatedChildren) {
  const Fields run = yaml("adapter: {r: 1, path: x}\n");
  run.child("adapter").get<int64_t>("r");
  const Fields again = run.child("adapter");
  Fields copy = again;
  copy.get<std::string>("path");
  EXPECT_NO_THROW(again.finish());
}

TEST(Fields, OutlivesTheFieldsItCameFrom) {
  const auto inner = [] { return yaml("a: {b: {c: deep}}\n").child("a").child("b"); }();
  EXPECT_EQ(inner.get<std::string>("c"), "deep");
  EXPECT_EQ(inner.where("c").field, "a.b.c");
}

TEST(Fields, LocatesInJsonFilesToo) {
  const TemporaryFolder folder;
  write_file_durably(folder / "config.json", "{\n  \"rope\": {\n    \"factor\": 40\n  },\n  \"n\": \"x\"\n}\n");
  const Fields config = Fields::read_json(folder / "config.json");
  EXPECT_EQ(config.where("n").line, 5);
  EXPECT_EQ(config.child("rope").where("factor").line, 3);
  EXPECT_EQ(thrown([&] { config.get<int64_t>("n"); }).where().line, 5);
  EXPECT_EQ(thrown([&] { config.fail("rope", "because"); }).describe(),
            "INVALID_ARGUMENT: because (" + (folder / "config.json").string() + ":2, rope)");
}

TEST(NearestName, FindsMisspellingsAndNothingFarAway) {
  const std::vector<std::string> known = {"learning_rate", "lora_alpha", "r", "target_modules", "seed"};
  EXPECT_EQ(nearest_name("learnign_rate", known), "learning_rate");
  EXPECT_EQ(nearest_name("Learning-Rate", known), "learning_rate");
  EXPECT_EQ(nearest_name("target_module", known), "target_modules");
  EXPECT_EQ(nearest_name("sede", known), "seed");
  EXPECT_EQ(nearest_name("x", known), std::nullopt);
  EXPECT_EQ(nearest_name("gradient_checkpointing", known), std::nullopt);
  EXPECT_EQ(nearest_name("", known), std::nullopt);
  EXPECT_EQ(nearest_name("seed", {}), std::nullopt);
}

}  // namespace
}  // namespace masbak::base
