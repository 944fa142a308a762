// How many layers must be tried to know what all take; and that what is tried is the model itself.
#include "trainer/estimate/probe.h"

#include <gtest/gtest.h>

#include "models/families/describe.h"
#include "tests/base/temporary_folder.h"
#include "tests/models/families/random_folder.h"

namespace masbak::trainer {
namespace {

// A model of `kinds`, a letter a layer: layers of one letter are alike.
ModelShapes shapes_of(const std::string& kinds) {
  ModelShapes shapes;
  shapes.info.layers = static_cast<int64_t>(kinds.size());
  for (size_t layer = 0; layer < kinds.size(); ++layer) {
    shapes.places.push_back(
        {"model.layers." + std::to_string(layer) + ".mlp.up_proj", models::Group::kDenseMlp, 8, kinds[layer], 0});
  }
  shapes.places.push_back({"lm_head", models::Group::kHead, 8, 100, 0});
  return shapes;
}

TEST(Probe, TriesTwoOfTheLastKindOfLayer) {
  const adapters::Plan none;
  EXPECT_EQ(layers_to_probe(shapes_of("aaaaaaaa"), none), 2);
  EXPECT_EQ(layers_to_probe(shapes_of("abbbbbbb"), none), 3);
  EXPECT_EQ(layers_to_probe(shapes_of("aaabbbbb"), none), 5);
  EXPECT_EQ(layers_to_probe(shapes_of("abababab"), none), 8);
  EXPECT_EQ(layers_to_probe(shapes_of("a"), none), 1);
}

TEST(Probe, TellsLayersApartByWhatTrains) {
  adapters::Plan plan;
  adapters::Target target;
  target.slot = "model.layers.2.mlp.up_proj";
  target.rank = 4;
  plan.targets.push_back(target);
  EXPECT_EQ(layers_to_probe(shapes_of("aaaaaaaa"), plan), 5);
}

TEST(Probe, LoadsTheFirstLayersOfAModel) {
  base::TemporaryFolder folder;
  models::testing::write_random_folder(models::testing::small_config("deepseek_v3"), folder / "model");
  const auto whole = models::load_model(folder / "model", "float32");
  const auto first = models::load_first_layers(folder / "model", "float32", 2);
  EXPECT_EQ(whole->info().layers, 3);
  EXPECT_EQ(first->info().layers, 2);
  for (const models::Slot& slot : first->slots())
    EXPECT_EQ(slot.name.find("layers.2."), std::string::npos) << slot.name;
  const models::Batch batch = models::make_batch({{1, 2, 3, 4}});
  const at::Tensor logits = first->logits(first->hidden(batch));
  EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{4, 53}));
  EXPECT_TRUE(at::isfinite(logits).all().item<bool>());
}

}  // namespace
}  // namespace masbak::trainer
