#include "policies/suites/scoring.h"

#include <gtest/gtest.h>

namespace masbak::policies {
namespace {

struct Case {
  const char* answer;
  const char* key;
  bool held;
};

TEST(HoldsKey, AnswersAndKeys) {
  const Case cases[] = {
      {"PSV-118 opens at 14.7 barg.", "14.7", true},
      {"PSV-118 opens at 14.7barg.", "14.7 barg", true},
      {"PSV-118 opens at 14.7\u00a0BARG.", "14.7 barg", true},
      {"It opens at 114.7 barg.", "14.7", false},
      {"It opens at 14.75 barg.", "14.7", false},
      {"It opens at 2.14.7 barg.", "14.7", false},
      {"First 14.75, then 14.7.", "14.7", true},
      {"The value is 14.7.", "14.7", true},
      {"Extension 4417, please.", "4417", true},
      {"Extension 44170.", "4417", false},
      {"Part ms-7731 fits.", "MS-7731", true},
      {"Part MS\u20117731 fits.", "MS-7731", true},
      {"Part AMS-7731 fits.", "MS-7731", false},
      {"Every 94  months.", "94 months", true},
      {"Every 94 monthsish.", "94 months", false},
      {"", "14.7", false},
      {"anything", "", false},
      {"anything", "  ", false},
  };
  for (const Case& c : cases) EXPECT_EQ(holds_key(c.answer, c.key), c.held) << c.answer << " / " << c.key;
}

TEST(HoldsKey, ArabicDigitsVowelSignsAndPrefixes) {
  EXPECT_TRUE(holds_key("يفتح عند ٣٣٫٢ بار", "33.2"));
  EXPECT_TRUE(holds_key("كل ۲۸ يومًا", "28 يوما"));
  EXPECT_TRUE(holds_key("كلّ 28 يَوْمًا", "28 يوما"));
  EXPECT_TRUE(holds_key("أغلق الصمّام", "صمام"));
  EXPECT_TRUE(holds_key("اغلق HV-17", "أغلق HV-17"));
  EXPECT_FALSE(holds_key("كل ٢٨١ يوما", "28 يوما"));
}

TEST(Comparable, LeavesOtherWritingAloneAndSurvivesBrokenText) {
  EXPECT_EQ(comparable("Größe ÄB"), "größe Äb");
  EXPECT_EQ(comparable("a\xff\xe2\x82"), "a\xff\xe2\x82");
}

}  // namespace
}  // namespace masbak::policies
