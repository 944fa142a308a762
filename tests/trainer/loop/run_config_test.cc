#include "trainer/run_config.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace masbak::trainer {
namespace {

using testing::HasSubstr;

RunConfig read(const std::string& yaml) {
  return RunConfig::read(base::Fields::from_yaml_text(yaml, "/runs/run.yaml"), "/runs/run.yaml");
}

const std::string kLeast = "model: base\ndataset: {train: train.jsonl}\n";

std::string refusal(const std::string& more) {
  try {
    read(kLeast + more);
  } catch (const base::Error& error) {
    return error.describe();
  }
  return "";
}

TEST(RunConfig, HasTheDefaultsOfTheInterface) {
  const RunConfig run = read(kLeast);
  EXPECT_EQ(run.model, "/runs/base");
  EXPECT_EQ(run.dataset.train, (std::vector<std::filesystem::path>{"/runs/train.jsonl"}));
  EXPECT_TRUE(run.dataset.eval.empty());
  EXPECT_EQ(run.adapter.r, 16);
  EXPECT_EQ(run.adapter.target_modules, (std::vector<std::string>{"attention", "experts"}));
  EXPECT_DOUBLE_EQ(run.training.learning_rate, 2e-4);
  EXPECT_EQ(run.training.schedule, Schedule::kCosine);
  EXPECT_EQ(run.training.batch_size, 4);
  EXPECT_EQ(run.training.dtype, "bfloat16");
  EXPECT_EQ(run.training.save_steps, 50);
}

TEST(RunConfig, ReadsExponentsAndKeepsAbsolutePaths) {
  const RunConfig run =
      read("model: /m\ndataset: {train: ../t.jsonl, eval: /e.jsonl}\ntraining: {learning_rate: 1e-3}");
  EXPECT_EQ(run.model, "/m");
  EXPECT_EQ(run.dataset.train, (std::vector<std::filesystem::path>{"/t.jsonl"}));
  EXPECT_DOUBLE_EQ(run.training.learning_rate, 1e-3);
}

TEST(RunConfig, NamesTheNearestKeyAndTheLine) {
  EXPECT_THAT(refusal("training:\n  learnin_rate: 1"),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("learning_rate"), HasSubstr("run.yaml:4")));
  EXPECT_THAT(refusal("adaptor: {}"), HasSubstr("adapter"));
  EXPECT_THAT(refusal("training: {lr_scheduler_type: cosin}"), HasSubstr("did you mean 'cosine'"));
}

TEST(RunConfig, RefusesWhatIsOutOfRange) {
  for (const char* bad : {"learning_rate: 0", "learning_rate: .inf", "warmup_ratio: 1.5", "num_train_epochs: 0",
                          "max_steps: 0", "per_device_train_batch_size: 0", "max_length: 1", "max_grad_norm: -1",
                          "eval_steps: 0", "seed: -1", "dtype: float8", "packing: 3", "max_length: many"}) {
    EXPECT_THAT(refusal(std::string("training: {") + bad + "}"), HasSubstr("INVALID_ARGUMENT")) << bad;
  }
  EXPECT_THAT(refusal("adapter: {r: -4}"), HasSubstr("adapter.r"));
}

TEST(RunConfig, SaysWhatIsNotBuiltInsteadOfIgnoringIt) {
  for (const char* later : {"objective: dpo", "adapter: {use_dora: true}", "training: {gradient_checkpointing: true}",
                            "training: {router_aux_loss_coef: 0.01}", "training: {lr_scheduler_type: polynomial}",
                            "adapter: {modules_to_save: [lm_head]}"}) {
    EXPECT_THAT(refusal(later), HasSubstr("UNIMPLEMENTED")) << later;
  }
  EXPECT_EQ(refusal("training: {gradient_checkpointing: false, router_aux_loss_coef: 0.0}"), "");
}

TEST(RunConfig, WrittenOutMeansTheSame) {
  const std::string yaml =
      kLeast +
      "adapter: {r: 8, target_modules: '.*\\.q_proj', exclude_modules: [\"it's\"], lora_alpha: 2.5}\n"
      "training: {max_steps: 7, learning_rate: 3.3e-5, warmup_ratio: 0.1, packing: false, seed: 12345678901}";
  const RunConfig run = read(yaml);
  const RunConfig again = RunConfig::read(base::Fields::from_yaml_text(run.to_yaml(), "x"), "/elsewhere/run.yaml");
  EXPECT_EQ(again.to_yaml(), run.to_yaml());
  EXPECT_EQ(again.model, run.model);
  EXPECT_EQ(again.adapter.target_pattern, ".*\\.q_proj");
  EXPECT_EQ(again.adapter.exclude_modules, run.adapter.exclude_modules);
  EXPECT_DOUBLE_EQ(again.training.learning_rate, 3.3e-5);
  EXPECT_EQ(again.training.seed, 12345678901u);
}

TEST(RunConfig, WithAPathSaysOnlyWhatTheFileInsistsOn) {
  const RunConfig run = read(kLeast + "adapter: {path: start, lora_alpha: 8}");
  EXPECT_EQ(run.adapter.path, "/runs/start");
  EXPECT_THAT(run.to_yaml(),
              AllOf(HasSubstr("lora_alpha: 8"), Not(HasSubstr("target_modules")), Not(HasSubstr(" r: "))));
}

}  // namespace
}  // namespace masbak::trainer
