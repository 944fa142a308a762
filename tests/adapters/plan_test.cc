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

TEST(Plan, GivesRankAndAlphaByTheFirstPatternThatMatches) {
  const Plan plan = plan_of(
      "{r: 2, lora_alpha: 4, target_modules: [attention, router], alpha_pattern: {mlp.gate: 6},"
      " rank_pattern: {'^model.layers.0.self_attn.q_proj': 1, '.*q_proj': 4}}");
  ASSERT_EQ(plan.targets.size(), 3u);
  EXPECT_EQ(plan.targets[0].rank, 1);
  EXPECT_EQ(plan.targets[1].rank, 4);
  EXPECT_DOUBLE_EQ(plan.targets[1].scale, 1.0);
  EXPECT_DOUBLE_EQ(plan.targets[2].scale, 3.0);
  EXPECT_THAT(refusal("{target_modules: [attention], rank_pattern: {'^q_proj': 4}}"), HasSubstr("matches no target"));
}

TEST(Plan, ChoosesLayers) {
  EXPECT_THAT(slots_of(plan_of("{target_modules: [attention], layers_to_transform: [1]}")),
              ElementsAre("1.self_attn.q_proj"));
  EXPECT_THAT(slots_of(plan_of("{target_modules: [q_proj], layers_to_transform: 0, layers_pattern: [layers]}")),
              ElementsAre("0.self_attn.q_proj"));
  EXPECT_THAT(refusal("{target_modules: [q_proj], layers_to_transform: [7]}"), HasSubstr("matches nothing"));
  EXPECT_THAT(refusal("{target_modules: '.*q_proj', layers_to_transform: [1]}"), HasSubstr("regular expression"));
  EXPECT_THAT(refusal("{target_modules: [q_proj], layers_pattern: layers}"), HasSubstr("layers_to_transform"));
}

TEST(Plan, ChoosesSingleExperts) {
  const Plan plan = plan_of(
      "{r: 2, target_modules: [experts.2, experts.0.down_proj, layers.1.mlp.experts.1.gate_proj, experts.1.up_proj]}");
  ASSERT_THAT(slots_of(plan), ElementsAre("1.mlp.experts.gate_up_proj", "1.mlp.experts.down_proj"));
  EXPECT_THAT(plan.targets[0].chosen_experts, ElementsAre(1, 2));
  EXPECT_THAT(plan.targets[1].chosen_experts, ElementsAre(0, 2));
  EXPECT_EQ(plan.trainable_parameters, 2 * 2 * (6 + 8) + 2 * 2 * (4 + 6));
  EXPECT_EQ(plan.numbers(), 3 * 2 * (6 + 8) + 3 * 2 * (4 + 6));
  EXPECT_EQ(plan.to_json()["tensors"][0]["experts"], base::Json({1, 2}));
  EXPECT_THAT(plan.targets[0].shape_a(), ElementsAre(6, 6));  // a place for every expert, as PEFT has it

  const Plan pattern = plan_of(R"({target_modules: '.*\.experts\.[02]\.(gate|up|down)_proj'})");
  ASSERT_EQ(pattern.targets.size(), 2u);
  EXPECT_THAT(pattern.targets[1].chosen_experts, ElementsAre(0, 2));
  EXPECT_THAT(plan_of("target_modules: [experts.0, experts.1, experts.2.w2]").targets[1].chosen_experts,
              testing::IsEmpty());  // all of them
  const Plan others = plan_of("{target_modules: [experts], exclude_modules: [experts.1]}");
  ASSERT_EQ(others.targets.size(), 2u);
  EXPECT_THAT(others.targets[0].chosen_experts, ElementsAre(0, 2));
  EXPECT_THAT(slots_of(plan_of("{target_modules: [experts.1], exclude_modules: [experts.1.down_proj]}")),
              ElementsAre("1.mlp.experts.gate_up_proj"));
}

TEST(Plan, RefusesHalfAnExpertAndOnesThatAreNotThere) {
  EXPECT_THAT(refusal("target_modules: [experts.1.gate_proj]"),
              AllOf(HasSubstr("gate_proj and up_proj of expert 1"), HasSubstr("name both")));
  EXPECT_THAT(refusal("target_modules: [experts.3]"),
              AllOf(HasSubstr("'experts.3' matches nothing"), HasSubstr("the experts 0 to 2")));
  EXPECT_THAT(refusal("{target_modules: [experts.1], exclude_modules: [experts.2]}"), HasSubstr("excludes nothing"));
}

TEST(Plan, NamesDorasMagnitudesAndWholeCopies) {
  const Plan plan = plan_of("{r: 2, target_modules: [attention], use_dora: true, modules_to_save: [mlp.gate_proj]}");
  ASSERT_EQ(plan.targets.size(), 3u);
  EXPECT_EQ(plan.targets[0].tensors().back().key,
            "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector");
  EXPECT_TRUE(plan.targets[1].full);
  ASSERT_EQ(plan.targets[1].tensors().size(), 1u);
  EXPECT_EQ(plan.targets[1].tensors()[0].key, "base_model.model.model.layers.0.mlp.gate_proj.weight");
  EXPECT_THAT(plan.targets[1].tensors()[0].shape, ElementsAre(6, 6));
  EXPECT_EQ(plan.trainable_parameters, 2 * (2 * (6 + 6) + 6) + 6 * 6);
  EXPECT_EQ(plan.to_json()["tensors"].size(), 7u);
}

TEST(Plan, RefusesWhatCannotBeKeptOrRead) {
  EXPECT_THAT(refusal("{target_modules: [experts], use_dora: true}"), HasSubstr("DoRA cannot be used"));
  EXPECT_THAT(refusal("{target_modules: [shared_experts], use_dora: true}"), HasSubstr("DoRA cannot be used"));
  EXPECT_THAT(refusal("{target_modules: [attention], modules_to_save: [lm_haed]}"), HasSubstr("'lm_haed' names no"));
  EXPECT_THAT(refusal("{target_modules: [attention], modules_to_save: [down_proj]}"), HasSubstr("UNIMPLEMENTED"));
  EXPECT_THAT(refusal("{target_modules: [attention], modules_to_save: [mlp.gate]}"), HasSubstr("router"));
}

TEST(LoraConfig, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(config_of("rr: 3"), base::Error);
  EXPECT_THROW(config_of("r: 0"), base::Error);
  EXPECT_THAT(refusal("init_lora_weights: pisa"), HasSubstr("expected true, false, gaussian"));
  EXPECT_THAT(refusal("{init_lora_weights: pissa, use_dora: true, target_modules: [attention]}"), HasSubstr("PiSSA"));
  EXPECT_THAT(refusal("loraplus_lr_embedding: 0.1"), HasSubstr("no effect"));
  for (const char* later : {"init_lora_weights: eva", "bias: all", "ensure_weight_tying: true"}) {
    EXPECT_THAT(refusal(later), HasSubstr("UNIMPLEMENTED")) << later;
  }
  try {
    config_of("bias: lora_only");
    FAIL() << "bias was accepted";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kUnimplemented);
    EXPECT_EQ(error.where().line, 1);
  }
}

TEST(LoraConfig, SpellsOutItsOptions) {
  const std::string text =
      "{r: 2, target_modules: [attention], use_dora: true, rank_pattern: {'.*q_proj': 4}, layers_to_transform: [0], "
      "modules_to_save: [mlp.gate_proj], loraplus_lr_ratio: 16}";
  const std::string options = config_of(text).options_yaml();
  std::string plain;
  for (size_t i = 0; i < options.size(); ++i) {
    if (i == 0 || options[i - 1] == '\n') i += 2;  // the section's indent
    plain += options[i];
  }
  const LoraConfig read = config_of("r: 2\ntarget_modules: [attention]\n" + plain);
  EXPECT_EQ(read.options_yaml(), options);
  EXPECT_EQ(read.loraplus_lr_ratio, 16);
  EXPECT_EQ(read.rank_pattern.at(0).second, 4);
}

TEST(LoraConfig, ScalesByRankOrItsRoot) {
  EXPECT_DOUBLE_EQ(config_of("{r: 4, lora_alpha: 8}").scale(), 2.0);
  EXPECT_DOUBLE_EQ(config_of("{r: 4, lora_alpha: 8, use_rslora: true}").scale(), 4.0);
}

}  // namespace
}  // namespace masbak::adapters
