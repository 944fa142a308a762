// The house rules on the real tree.

#include "tests/tidy/house_rules.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace masbak::tidy {
namespace {

// Known exceptions, each with the length it may not exceed. Only ever shorten these.
const Ratchet kLongFiles = {};
const Ratchet kLongFunctions = {};

const Tree& sources() {
  static const Tree tree = [] {
    const char* root = std::getenv("MASBAK_SOURCE");
    return root == nullptr ? Tree() : read_tree(root);
  }();
  return tree;
}

class HouseRules : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sources().contains("base/error.h")) << "MASBAK_SOURCE must name the folder of the sources";
  }
  static void expect_none(const std::vector<Violation>& violations) {
    EXPECT_TRUE(violations.empty()) << violations.size() << " violations:\n" << describe(violations);
  }
};

TEST_F(HouseRules, RoomsIncludeOnlyWhatTheyMay) { expect_none(check_includes(sources())); }
TEST_F(HouseRules, RoomsLinkOnlyWhatTheyMay) { expect_none(check_links(sources())); }
TEST_F(HouseRules, LinesAreShort) { expect_none(check_line_lengths(sources())); }
TEST_F(HouseRules, FilesAreShort) { expect_none(check_file_lengths(sources(), kLongFiles)); }
TEST_F(HouseRules, FunctionsAreShort) { expect_none(check_function_lengths(sources(), kLongFunctions)); }
TEST_F(HouseRules, NoFileIsDead) { expect_none(check_dead_files(sources())); }
TEST_F(HouseRules, NoWordIsForbidden) { expect_none(check_forbidden_words(sources())); }
TEST_F(HouseRules, EachRoomHasAPageAboutIt) { expect_none(check_readmes(sources())); }

}  // namespace
}  // namespace masbak::tidy
