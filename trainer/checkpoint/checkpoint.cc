#include "trainer/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstdio>

#include "adapters/file.h"
#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/tensor.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;
using base::Json;

constexpr const char* kStateFile = "state.json";
constexpr const char* kOptimizerFile = "optimizer.safetensors";

std::string folder_name(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
  return name;
}

// Newest first.
std::vector<fs::path> folders(const fs::path& checkpoints) {
  std::vector<std::pair<int64_t, fs::path>> found;
  if (fs::exists(checkpoints)) {
    for (const auto& entry : fs::directory_iterator(checkpoints)) {
      long long step = 0;
      int read = 0;
      const std::string name = entry.path().filename().string();
      const bool named = std::sscanf(name.c_str(), "step-%lld%n", &step, &read) == 1;
      if (named && read == static_cast<int>(name.size())) found.push_back({step, entry.path()});
    }
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> result;
  for (auto& [step, path] : found) result.push_back(std::move(path));
  return result;
}

Json to_json(const TrainState& state) {
  Json json{{"step", state.step},
            {"tokens", state.tokens},
            {"seconds", state.seconds},
            {"last_loss", state.last_loss},
            {"best_eval_loss", nullptr},
            {"best_step", state.best_step},
            {"evals_without_improvement", state.evals_without_improvement},
            {"recent_losses", state.recent_losses},
            {"skipped", state.skipped},
            {"step_backs", state.step_backs},
            {"digests", state.digests}};
  json["last_eval_loss"] = state.last_eval_loss ? Json(*state.last_eval_loss) : Json(nullptr);
  if (state.best_eval_loss) json["best_eval_loss"] = *state.best_eval_loss;
  return json;
}

TrainState state_from(const base::Fields& fields) {
  TrainState state;
  state.step = fields.get<int64_t>("step");
  state.tokens = fields.get<int64_t>("tokens");
  state.seconds = fields.get<double>("seconds");
  state.last_loss = fields.get<double>("last_loss", 0.0);
  if (fields.has("last_eval_loss")) state.last_eval_loss = fields.get<double>("last_eval_loss");
  if (fields.has("best_eval_loss")) state.best_eval_loss = fields.get<double>("best_eval_loss");
  state.best_step = fields.get<int64_t>("best_step");
  state.evals_without_improvement = fields.get<int64_t>("evals_without_improvement");
  state.recent_losses = fields.get<std::vector<double>>("recent_losses", {});
  state.skipped = fields.get<std::vector<int64_t>>("skipped", {});
  state.step_backs = fields.get<int64_t>("step_backs", 0);
  const base::Fields digests = fields.require_child("digests");
  for (const std::string& key : digests.keys()) state.digests[key] = digests.get<std::string>(key);
  return state;
}

void write_optimizer(const fs::path& file, const CheckpointTensors& tensors) {
  std::vector<models::TensorToWrite> list{models::tensor_to_write("first_moment", tensors.first_moment),
                                          models::tensor_to_write("second_moment", tensors.second_moment)};
  if (tensors.best_parameters.defined()) {
    list.push_back(models::tensor_to_write("best_parameters", tensors.best_parameters));
  }
  if (tensors.dropout_state.defined()) {
    list.push_back(models::tensor_to_write("dropout_state", tensors.dropout_state));
  }
  models::write_safetensors(file, list);
}

CheckpointTensors read_optimizer(const fs::path& file) {
  CheckpointTensors tensors;
  const std::map<std::string, at::Tensor*> places{{"first_moment", &tensors.first_moment},
                                                  {"second_moment", &tensors.second_moment},
                                                  {"best_parameters", &tensors.best_parameters},
                                                  {"dropout_state", &tensors.dropout_state}};
  for (const models::TensorView& view : models::read_safetensors(file)) {
    const auto place = places.find(view.name);
    if (place != places.end()) *place->second = models::map_tensor(view).clone();
  }
  if (!tensors.first_moment.defined() || !tensors.second_moment.defined()) {
    throw base::Error(base::Code::kDataLoss, "the optimiser's moments are missing", {file.string(), 0, ""});
  }
  return tensors;
}

FoundCheckpoint read_checkpoint(const fs::path& folder) {
  const base::Fields fields = base::Fields::read_json(folder / kStateFile);
  const base::Fields files = fields.require_child("files");
  for (const std::string& name : files.keys()) {
    if (base::digest_file(folder / name) != files.get<std::string>(name)) {
      throw base::Error(base::Code::kDataLoss, "the file is not the one that was written",
                        {(folder / name).string(), 0, ""});
    }
  }
  return {folder, state_from(fields), read_optimizer(folder / kOptimizerFile)};
}

}  // namespace

void write_checkpoint(const fs::path& checkpoints, const TrainState& state, const CheckpointTensors& tensors,
                      const adapters::Adapter& adapter, const std::vector<adapters::PlanPlace>& places,
                      const std::string& base_model, int keep) {
  const fs::path target = checkpoints / folder_name(state.step);
  fs::create_directories(checkpoints);
  fs::remove_all(target);  // a damaged one that was passed over
  base::DurableFolder folder(target);
  fs::create_directories(folder.path() / "adapter");
  adapters::write_adapter_files(adapter, places, base_model, folder.path() / "adapter");
  write_optimizer(folder.path() / kOptimizerFile, tensors);
  Json json = to_json(state);
  json["files"] = Json::object();
  for (const char* name : {"adapter/adapter_config.json", "adapter/adapter_model.safetensors", kOptimizerFile}) {
    json["files"][name] = base::digest_file(folder.path() / name);
  }
  base::write_file_durably(folder.path() / kStateFile, json.dump(2) + "\n");
  folder.commit();
  keep_newest(checkpoints, keep);
}

void keep_newest(const fs::path& checkpoints, int keep) {
  const std::vector<fs::path> all = folders(checkpoints);
  for (size_t i = static_cast<size_t>(keep); i < all.size(); ++i) fs::remove_all(all[i]);
}

std::optional<FoundCheckpoint> find_checkpoint(const fs::path& checkpoints, std::vector<std::string>* damaged) {
  for (const fs::path& folder : folders(checkpoints)) {
    try {
      return read_checkpoint(folder);
    } catch (const base::Error& error) {
      damaged->push_back("checkpoint " + folder.filename().string() +
                         " is damaged and was passed over: " + error.describe());
    }
  }
  return std::nullopt;
}

}  // namespace masbak::trainer
