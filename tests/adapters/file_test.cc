#include "adapters/file.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <stdlib.h>

#include "base/document.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/tensor.h"
#include "tests/adapters/fake_model.h"

namespace masbak::adapters {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using tests::FakeModel;

class AdapterFile : public testing::Test {
 protected:
  AdapterFile() {
    char name[] = "/tmp/masbak-adapter-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~AdapterFile() override { fs::remove_all(root_); }

  Adapter random_adapter(std::vector<std::string> targets) {
    LoraConfig config;
    config.r = 2;
    config.lora_alpha = 3;
    config.target_modules = std::move(targets);
    Adapter adapter = new_adapter(make_plan(config, places(model_)), 5);
    for (LoraFactors& pair : adapter.factors) pair.b = at::randn(pair.b.sizes());
    return adapter;
  }

  // Writes the tensors of `folder` anew, changed.
  void rewrite(const fs::path& folder, const std::function<void(std::map<std::string, at::Tensor>&)>& change) {
    std::map<std::string, at::Tensor> tensors;
    for (const auto& view : models::read_safetensors(folder / "adapter_model.safetensors")) {
      tensors[view.name] = models::map_tensor(view, at::kFloat).clone();
    }
    change(tensors);
    std::vector<models::TensorToWrite> list;
    for (auto& [name, tensor] : tensors) list.push_back(models::tensor_to_write(name, tensor));
    models::write_safetensors(folder / "adapter_model.safetensors", list);
  }

  void reconfigure(const fs::path& folder, const std::string& key, const base::Json& value) {
    base::Json config = base::read_json(folder / "adapter_config.json");
    config[key] = value;
    base::write_file_durably(folder / "adapter_config.json", config.dump());
  }

  std::string refusal(const fs::path& folder) {
    try {
      read_adapter(folder, places(model_));
    } catch (const base::Error& error) {
      return error.describe();
    }
    return "";
  }

  FakeModel model_;
  fs::path root_;
};

TEST_F(AdapterFile, ComesBackAsItWas) {
  const Adapter written = random_adapter({"all-linear"});
  write_adapter(written, places(model_), "base", root_ / "a");
  const Adapter read = read_adapter(root_ / "a", places(model_));
  ASSERT_EQ(read.factors.size(), written.factors.size());
  for (size_t i = 0; i < read.factors.size(); ++i) {
    EXPECT_EQ(read.plan.targets[i].slot, written.plan.targets[i].slot);
    EXPECT_TRUE(at::equal(read.factors[i].a, written.factors[i].a)) << read.plan.targets[i].slot;
    EXPECT_TRUE(at::equal(read.factors[i].b, written.factors[i].b)) << read.plan.targets[i].slot;
    EXPECT_DOUBLE_EQ(read.factors[i].scale, 1.5);
  }
  EXPECT_EQ(read.plan.trainable_parameters, written.plan.trainable_parameters);
}

TEST_F(AdapterFile, TheSameNumbersGiveTheSameBytes) {
  write_adapter(random_adapter({"attention"}), places(model_), "base", root_ / "a");
  EXPECT_EQ(adapter_digest(root_ / "a").substr(0, 7), "sha256:");
  const Adapter read = read_adapter(root_ / "a", places(model_));
  write_adapter(read, places(model_), "base", root_ / "b");
  EXPECT_EQ(adapter_digest(root_ / "a"), adapter_digest(root_ / "b"));
}

TEST_F(AdapterFile, LaysExpertsOutAsPeft) {
  const Adapter adapter = random_adapter({"experts"});
  write_adapter(adapter, places(model_), "base", root_ / "a");
  const int64_t e = 2, k = 1, experts = FakeModel::kExperts, rank = 2;
  rewrite(root_ / "a", [&](auto& tensors) {
    const std::string module = "base_model.model.model.layers.1.mlp.experts.";
    const at::Tensor a = tensors.at(module + "base_layer.lora_A.weight"), b = tensors.at(module + "lora_B.weight");
    EXPECT_TRUE(at::equal(a[e * rank + k], adapter.factors[0].a[e][k]));
    EXPECT_TRUE(at::equal(b.select(1, k * experts + e), adapter.factors[1].b[e].select(1, k)));
  });
}

TEST_F(AdapterFile, NamesTargetsSoThatPeftFindsTheSame) {
  write_adapter(random_adapter({"attention", "experts", "shared_experts", "router"}), places(model_), "base",
                root_ / "a");
  const base::Json config = base::read_json(root_ / "a" / "adapter_config.json");
  EXPECT_EQ(config["target_modules"], base::Json({"q_proj"}));
  EXPECT_EQ(config["target_parameters"], base::Json({"mlp.experts.down_proj", "mlp.experts.gate_up_proj",
                                                     "mlp.gate.weight", "shared_experts.gate_proj.weight"}));
  write_adapter(random_adapter({"layers.1.self_attn.q_proj"}), places(model_), "base", root_ / "b");
  EXPECT_EQ(base::read_json(root_ / "b" / "adapter_config.json")["target_modules"], base::Json({"1.self_attn.q_proj"}));
}

TEST_F(AdapterFile, RefusesOneTensorTooManyOrTooFew) {
  write_adapter(random_adapter({"attention"}), places(model_), "base", root_ / "a");
  const std::string key = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";
  at::Tensor kept;
  rewrite(root_ / "a", [&](auto& tensors) {
    kept = tensors.at(key);
    tensors.erase(key);
  });
  EXPECT_THAT(refusal(root_ / "a"), AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("lacks"), HasSubstr(key)));
  rewrite(root_ / "a", [&](auto& tensors) {
    tensors[key] = kept;
    tensors["base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight"] = at::zeros({2, 6});
  });
  EXPECT_THAT(refusal(root_ / "a"), HasSubstr("no place in this model"));
}

TEST_F(AdapterFile, RefusesWrongShapesAndNumbersThatAreNotFinite) {
  write_adapter(random_adapter({"router"}), places(model_), "base", root_ / "a");
  const std::string key = "base_model.model.model.layers.1.mlp.gate.lora_A.weight";
  rewrite(root_ / "a", [&](auto& tensors) { tensors[key][0][0] = std::nan(""); });
  EXPECT_THAT(refusal(root_ / "a"), AllOf(HasSubstr("DATA_LOSS"), HasSubstr(key)));
  rewrite(root_ / "a", [&](auto& tensors) { tensors[key] = at::zeros({3, 6}); });
  EXPECT_THAT(refusal(root_ / "a"), HasSubstr("expected shape [2, 6], found [3, 6]"));
}

TEST_F(AdapterFile, RefusesFeaturesThatItCannotApply) {
  write_adapter(random_adapter({"attention"}), places(model_), "base", root_ / "a");
  reconfigure(root_ / "a", "bias", "all");
  EXPECT_THAT(refusal(root_ / "a"), AllOf(HasSubstr("UNIMPLEMENTED"), HasSubstr("bias")));
  EXPECT_THAT(refusal(root_ / "nowhere"), HasSubstr("NOT_FOUND"));
}

TEST_F(AdapterFile, ReadsRankAndAlphaPatterns) {
  Adapter adapter = random_adapter({"attention", "router"});
  adapter.plan.targets[1].rank = 1;
  adapter.plan.targets[1].scale = 5;
  adapter.factors[1] = {at::randn({1, 6}), at::randn({6, 1}), 5};
  write_adapter(adapter, places(model_), "base", root_ / "a");
  const Adapter read = read_adapter(root_ / "a", places(model_));
  EXPECT_EQ(read.plan.targets[1].rank, 1);
  EXPECT_DOUBLE_EQ(read.factors[1].scale, 5);
  EXPECT_EQ(read.plan.targets[2].rank, 2);
  EXPECT_DOUBLE_EQ(read.factors[2].scale, 1.5);
}

// PEFT 0.17 to 0.19.0: A [E·r, out], B [in, r·E], and the change of an expert is the transpose of B A.
TEST_F(AdapterFile, ReadsTheSwappedLayoutOfOldVersions) {
  const Adapter adapter = random_adapter({"experts"});
  write_adapter(adapter, places(model_), "base", root_ / "a");
  const int64_t experts = FakeModel::kExperts;
  rewrite(root_ / "a", [&](auto& tensors) {
    for (size_t i = 0; i < 2; ++i) {
      const Target& target = adapter.plan.targets[i];
      tensors[target.key_a] = adapter.factors[i].b.transpose(1, 2).reshape({experts * 2, target.out}).contiguous();
      tensors[target.key_b] = adapter.factors[i].a.permute({2, 1, 0}).reshape({target.in, 2 * experts}).contiguous();
    }
  });
  reconfigure(root_ / "a", "peft_version", "0.18.1");
  const Adapter read = read_adapter(root_ / "a", places(model_));
  EXPECT_TRUE(at::equal(read.factors[0].a, adapter.factors[0].a));
  EXPECT_TRUE(at::equal(read.factors[1].b, adapter.factors[1].b));
}

// As PEFT joins them: A of gate above A of up, B block-diagonal.
TEST_F(AdapterFile, JoinsTheLorasOfSingleExperts) {
  write_adapter(random_adapter({"experts"}), places(model_), "base", root_ / "a");
  std::vector<at::Tensor> gates, ups;
  rewrite(root_ / "a", [&](auto& tensors) {
    tensors.clear();
    for (int64_t e = 0; e < FakeModel::kExperts; ++e) {
      const std::string prefix = "base_model.model.model.layers.1.mlp.experts." + std::to_string(e) + ".";
      for (const std::string part : {"gate_proj", "up_proj", "down_proj"}) {
        const bool down = part == "down_proj";
        const at::Tensor a = at::randn({2, down ? FakeModel::kInner : FakeModel::kHidden});
        const at::Tensor b = at::randn({down ? FakeModel::kHidden : FakeModel::kInner, 2});
        tensors[prefix + part + ".lora_A.weight"] = a;
        tensors[prefix + part + ".lora_B.weight"] = b;
        if (!down) (part == "gate_proj" ? gates : ups).push_back(at::mm(b, a));
      }
    }
  });
  reconfigure(root_ / "a", "target_parameters", nullptr);
  // shared_experts.gate_proj and the dense layer's are linears of the same names: the file must hold them too.
  reconfigure(root_ / "a", "target_modules", R"(.*experts\.\d+\.(gate|up|down)_proj)");
  const Adapter read = read_adapter(root_ / "a", places(model_));
  ASSERT_EQ(read.factors.size(), 2u);
  EXPECT_EQ(read.plan.targets[0].rank, 4);
  for (int64_t e = 0; e < FakeModel::kExperts; ++e) {
    const at::Tensor change = at::mm(read.factors[0].b[e], read.factors[0].a[e]);
    EXPECT_LT((change - at::cat({gates[e], ups[e]})).abs().max().item<double>(), 1e-6);
  }
  rewrite(root_ / "a",
          [&](auto& tensors) { tensors.erase("base_model.model.model.layers.1.mlp.experts.2.up_proj.lora_A.weight"); });
  EXPECT_THAT(refusal(root_ / "a"), HasSubstr("experts.2.up_proj"));
}

TEST_F(AdapterFile, ReadsBackMagnitudesAndWholeCopies) {
  LoraConfig config;
  config.r = 2;
  config.target_modules = {"attention"};
  config.use_dora = true;
  config.modules_to_save = {"mlp.gate_proj"};
  FakeModel plain;
  Adapter adapter = new_adapter(make_plan(config, places(plain)), 1);
  initialise(adapter, plain);
  for (const at::Tensor& tensor : adapter.tensors()) tensor.add_(at::randn(tensor.sizes()) * 0.1);
  write_adapter(adapter, places(plain), "base", root_ / "a");
  EXPECT_EQ(base::read_json(root_ / "a" / "adapter_config.json")["modules_to_save"],
            base::Json({"model.layers.0.mlp.gate_proj"}));
  const Adapter read = read_adapter(root_ / "a", places(plain));
  const std::vector<at::Tensor> written = adapter.tensors(), found = read.tensors();
  ASSERT_EQ(found.size(), written.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], written[i])) << i;
}

TEST_F(AdapterFile, AppliesWhatItReads) {
  FakeModel plain, wrapped;
  const Adapter adapter = random_adapter({"all-linear"});
  write_adapter(adapter, places(model_), "base", root_ / "a");
  attach(model_, adapter);
  apply_adapter(wrapped, root_ / "a");
  const models::Batch batch{at::arange(6), {{0, 6, nullptr}}};
  const at::Tensor expected = model_.hidden(batch, nullptr);
  EXPECT_LT((wrapped.hidden(batch, nullptr) - expected).abs().max().item<double>(), 1e-6);
  EXPECT_GT((plain.hidden(batch, nullptr) - expected).abs().max().item<double>(), 1e-2);
}

}  // namespace
}  // namespace masbak::adapters
