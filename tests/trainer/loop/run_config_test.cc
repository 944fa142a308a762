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
  EXPECT_EQ(run.training.device, "cpu");
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
  for (const char* bad : {"learning_rate: 0",
                          "learning_rate: .inf",
                          "warmup_ratio: 1.5",
                          "num_train_epochs: 0",
                          "max_steps: 0",
                          "per_device_train_batch_size: 0",
                          "max_length: 1",
                          "max_grad_norm: -1",
                          "eval_steps: 0",
                          "seed: -1",
                          "dtype: float8",
                          "device: gpu",
                          "device: 'cuda:'",
                          "packing: 3",
                          "max_length: many",
                          "gradient_checkpointing: some",
                          "gradient_checkpointing: -1",
                          "gradient_checkpointing: [1, 1]",
                          "gradient_checkpointing: [-1]",
                          "gradient_checkpointing: [a]",
                          "gradient_checkpointing: 1.5",
                          "memory_budget: 0",
                          "memory_budget: 4 pages",
                          "memory_budget: GiB",
                          "memory_budget: -2GiB",
                          "memory_budget: 1GiB 2",
                          "memory_budget: [1]"}) {
    EXPECT_THAT(refusal(std::string("training: {") + bad + "}"), HasSubstr("INVALID_ARGUMENT")) << bad;
  }
  EXPECT_THAT(refusal("adapter: {r: -4}"), HasSubstr("adapter.r"));
}

TEST(RunConfig, SaysWhatIsNotBuiltInsteadOfIgnoringIt) {
  for (const char* later :
       {"objective: grpo", "adapter: {bias: all}", "training: {lr_scheduler_type: reduce_lr_on_plateau}",
        "objective: dpo\ntraining: {loss_type: aot}"}) {
    EXPECT_THAT(refusal(later), HasSubstr("UNIMPLEMENTED")) << later;
  }
  EXPECT_EQ(refusal("training: {gradient_checkpointing: true, router_aux_loss_coef: 0.01}"), "");
}

TEST(RunConfig, AnOptionThatWouldDoNothingIsRefused) {
  EXPECT_THAT(refusal("training: {beta: 0.2}"), HasSubstr("belongs to objective dpo, orpo or kto"));
  EXPECT_THAT(refusal("objective: orpo\ntraining: {loss_type: sigmoid}"), HasSubstr("this run's objective is orpo"));
  EXPECT_THAT(refusal("objective: dpo\ntraining: {desirable_weight: 2}"), HasSubstr("kto"));
  EXPECT_THAT(refusal("objective: dpo\ntraining: {label_smoothing: 0.1}"), HasSubstr("robust"));
  EXPECT_THAT(refusal("objective: dpo\ntraining: {packing: true}"), HasSubstr("packing"));
  EXPECT_THAT(refusal("objective: dpo\nadapter: {lora_dropout: 0.1}"), HasSubstr("lora_dropout"));
  EXPECT_THAT(refusal("training: {dtype: float16}"), HasSubstr("loss scaling"));
  EXPECT_THAT(refusal("training: {loss_spike_factor: 0.5}"), HasSubstr("above 1"));
  EXPECT_THAT(refusal("training: {lr_scheduler_type: linear, lr_scheduler_kwargs: {power: 2}}"), HasSubstr("power"));
  EXPECT_THAT(refusal("training: {lr_scheduler_type: cosine_with_min_lr}"), HasSubstr("min_lr"));
  EXPECT_THAT(refusal("training: {lr_scheduler_type: warmup_stable_decay}"), HasSubstr("num_decay_steps"));
}

TEST(RunConfig, TellsWhichLayersAreComputedAgain) {
  using Choice = Checkpointing::Choice;
  const auto chosen = [](const std::string& value) {
    return read(kLeast + "training: {gradient_checkpointing: " + value + "}").training.checkpointing;
  };
  EXPECT_EQ(read(kLeast).training.checkpointing.choice, Choice::kNone);
  EXPECT_EQ(chosen("false").choice, Choice::kNone);
  EXPECT_EQ(chosen("true").choice, Choice::kAll);
  EXPECT_EQ(chosen("auto").choice, Choice::kAuto);
  EXPECT_EQ(chosen("5").choice, Choice::kFirst);
  EXPECT_EQ(chosen("5").first, 5);
  EXPECT_EQ(chosen("[4, 0, 2]").choice, Choice::kThese);
  EXPECT_EQ(chosen("[4, 0, 2]").layers, (std::vector<int64_t>{0, 2, 4}));
  // What a GPU has is not known here.
  EXPECT_THAT(refusal("training: {gradient_checkpointing: auto, device: cuda}"), HasSubstr("memory_budget"));
  EXPECT_EQ(refusal("training: {gradient_checkpointing: auto, device: cuda, memory_budget: 70GiB}"), "");
}

TEST(RunConfig, ReadsBytesWithTheirUnit) {
  const auto budget = [](const std::string& value) {
    return read(kLeast + "training: {memory_budget: " + value + "}").training.memory_budget;
  };
  EXPECT_EQ(read(kLeast).training.memory_budget, 0);
  EXPECT_EQ(budget("123456789"), 123456789);
  EXPECT_EQ(budget("12GiB"), int64_t{12} << 30);
  EXPECT_EQ(budget("12 GB"), 12'000'000'000);
  EXPECT_EQ(budget("1.5MiB"), 3 << 19);
  EXPECT_EQ(budget("'7 B'"), 7);
}

TEST(RunConfig, EveryScheduleAndObjectiveWrittenOutMeansTheSame) {
  for (
      const char* more :
      {"training: {device: 'cuda:1'}", "training: {gradient_checkpointing: auto, memory_budget: 3GiB}",
       "training: {gradient_checkpointing: [0, 3]}", "training: {gradient_checkpointing: 7}",
       "training: {gradient_checkpointing: []}",
       "training: {lr_scheduler_type: cosine, lr_scheduler_kwargs: {num_cycles: 1.5}, warmup_steps: 9}",
       "training: {lr_scheduler_type: cosine_with_restarts, lr_scheduler_kwargs: {num_cycles: 3}}",
       "training: {lr_scheduler_type: polynomial, lr_scheduler_kwargs: {power: 2.5, lr_end: 1e-8}}",
       "training: {lr_scheduler_type: inverse_sqrt, lr_scheduler_kwargs: {timescale: 70}}",
       "training: {lr_scheduler_type: cosine_with_min_lr, lr_scheduler_kwargs: {min_lr_rate: 0.125}}",
       "training: {lr_scheduler_type: warmup_stable_decay, lr_scheduler_kwargs: {num_decay_steps: 5, num_stable_steps: "
       "3, warmup_type: cosine, decay_type: 1-sqrt, min_lr_ratio: 0.25}}",
       "objective: dpo\ntraining: {loss_type: robust, label_smoothing: 0.25, beta: 0.5}",
       "objective: orpo\ntraining: {beta: 0.25}",
       "objective: kto\ntraining: {desirable_weight: 2, undesirable_weight: 0.5, loss_type: apo_zero_unpaired}",
       "training: {nan_action: step_back, loss_spike_factor: 3, loss_spike_action: stop, save_total_limit: 7, "
       "load_best_model_at_end: true, early_stopping_threshold: 0.5, per_device_eval_batch_size: 2}"}) {
    const RunConfig run = read(kLeast + more);
    const RunConfig again = RunConfig::read(base::Fields::from_yaml_text(run.to_yaml(), "x"), "/elsewhere/run.yaml");
    EXPECT_EQ(again.to_yaml(), run.to_yaml()) << more;
  }
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
