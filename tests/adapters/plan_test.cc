#include "adapters/plan.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "tests/adapters/fake_model.h"

namespace masbak::adapters {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

LoraConfig config_of(const std::string& yaml) {
  return LoraConfig::read(base::Fields::from_yaml_text(yaml, "run.yaml"));
}

Plan plan_of(const std::string& yaml) {
  tests::FakeModel model;
  return make_plan(config_of(yaml), places(model));
}

std::vector<std::string> slots_of(const Plan& plan) {
  std::vector<std::string> names;
  for (const Target& target : plan.targets) names.push_back(target.slot.substr(std::string("model.layers.").size()));
  return names;
}

std::string refusal(const std::string& yaml) {
  try {
    plan_of(yaml);
  } catch (const base::Error& error) {
    return error.describe();
  }
  return "";
}

TEST(Plan, NamesTheGroups) {
  EXPECT_THAT(slots_of(plan_of("target_modules: [attention]")),
              ElementsAre("0.self_attn.q_proj", "1.self_attn.q_proj"));
  EXPECT_THAT(slots_of(plan_of("target_modules: experts")),
              ElementsAre("1.mlp.experts.gate_up_proj", "1.mlp.experts.down_proj"));
  EXPECT_EQ(slots_of(plan_of("target_modules: [all-linear]")).size(), 7u);
}

TEST(Plan, MatchesEndsOfNamesAsPeftDoes) {
  EXPECT_THAT(slots_of(plan_of("target_modules: [mlp.gate_proj]")), ElementsAre("0.mlp.gate_proj"));
  EXPECT_THAT(slots_of(plan_of("target_modules: [gate_proj]")),
              ElementsAre("0.mlp.gate_proj", "1.mlp.shared_experts.gate_proj"));
  EXPECT_THAT(slots_of(plan_of("target_parameters: [mlp.experts.down_proj]")), ElementsAre("1.mlp.experts.down_proj"));
  EXPECT_THAT(slots_of(plan_of("target_parameters: [mlp.gate.weight]")), ElementsAre("1.mlp.gate"));
}

TEST(Plan, TakesOneTextForARegularExpressionOfWholeNames) {
  EXPECT_THAT(slots_of(plan_of(R"(target_modules: '.*\.1\.(self_attn\.q_proj|mlp\.gate)')")),
              ElementsAre("1.self_attn.q_proj", "1.mlp.gate"));
  EXPECT_THAT(refusal("target_modules: q_proj"), HasSubstr("matches no whole module name"));
  EXPECT_THAT(refusal("target_modules: 'a(b'"), HasSubstr("no regular expression"));
}

TEST(Plan, ExcludesModules) {
  EXPECT_THAT(slots_of(plan_of("{target_modules: [attention, router], exclude_modules: [layers.0.self_attn.q_proj]}")),
              ElementsAre("1.self_attn.q_proj", "1.mlp.gate"));
  EXPECT_THAT(refusal("{target_modules: [attention], exclude_modules: [router]}"), HasSubstr("excludes nothing"));
}

TEST(Plan, RefusesATargetThatMatchesNothing) {
  EXPECT_THAT(refusal("target_modules: [attention, q_prj]"),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("'q_prj' matches nothing"), HasSubstr("'q_proj'")));
  EXPECT_THAT(refusal("target_modules: [atention]"), HasSubstr("did you mean 'attention'"));
  EXPECT_THAT(refusal("target_parameters: [experts.gate_up_pro]"), HasSubstr("gate_up_proj"));
  EXPECT_THAT(refusal("target_modules: [experts.gate_up_proj]"), HasSubstr("target_parameters"));
}

TEST(Plan, RefusesWhatPeftRefusesOnExperts) {
  EXPECT_THAT(refusal("lora_dropout: 0.1"), HasSubstr("dropout"));
  EXPECT_EQ(refusal("{target_modules: [attention], lora_dropout: 0.1}"), "");
}

TEST(Plan, GivesPeftsKeysAndShapes) {
  const Plan plan = plan_of("{r: 2, target_modules: [experts, router]}");
  ASSERT_EQ(plan.targets.size(), 3u);
  const Target &gate = plan.targets[0], &gate_up = plan.targets[1], &down = plan.targets[2];
  EXPECT_EQ(gate.key_a, "base_model.model.model.layers.1.mlp.gate.lora_A.weight");
  EXPECT_EQ(gate_up.key_a, "base_model.model.model.layers.1.mlp.experts.base_layer.lora_A.weight");
  EXPECT_EQ(down.key_b, "base_model.model.model.layers.1.mlp.experts.lora_B.weight");
  EXPECT_THAT(gate_up.shape_a(), ElementsAre(6, 6));
  EXPECT_THAT(gate_up.shape_b(), ElementsAre(8, 6));
  EXPECT_EQ(plan.trainable_parameters, 2 * (6 + 3) + 3 * 2 * (6 + 8) + 3 * 2 * (4 + 6));
  EXPECT_EQ(plan_of("target_parameters: [experts.gate_up_proj]").targets[0].key_a,
            "base_model.model.model.layers.1.mlp.experts.lora_A.weight");
}

TEST(Plan, ListsWhatStaysFrozen) {
  const Plan plan = plan_of("target_modules: [layers.0.self_attn.q_proj, mlp.gate]");
  EXPECT_THAT(plan.frozen,
              ElementsAre("model.layers.*.mlp.gate_proj", "model.layers.1.self_attn.q_proj",
                          "model.layers.*.mlp.experts.gate_up_proj", "model.layers.*.mlp.experts.down_proj",
                          "model.layers.*.mlp.shared_experts.gate_proj"));
  EXPECT_EQ(plan.to_json()["tensors"].size(), 4u);
  EXPECT_EQ(plan.digest(), plan_of("target_modules: [layers.0.self_attn.q_proj, mlp.gate]").digest());
  EXPECT_NE(plan.digest(), plan_of("target_modules: [mlp.gate]").digest());
}

TEST(LoraConfig, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(config_of("rr: 3"), base::Error);
  EXPECT_THROW(config_of("r: 0"), base::Error);
  try {
    config_of("use_dora: true");
    FAIL() << "DoRA was accepted";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kUnimplemented);
    EXPECT_EQ(error.where().line, 1);
  }
}

TEST(LoraConfig, ScalesByRankOrItsRoot) {
  EXPECT_DOUBLE_EQ(config_of("{r: 4, lora_alpha: 8}").scale(), 2.0);
  EXPECT_DOUBLE_EQ(config_of("{r: 4, lora_alpha: 8, use_rslora: true}").scale(), 4.0);
}

}  // namespace
}  // namespace masbak::adapters
