// masbak-worker logits: what the model says after every token, for comparison with a reference.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <memory>

#include "adapters/file.h"
#include "base/error.h"
#include "models/checkpoint/tensor.h"
#include "models/families/causal_model.h"
#include "models/families/place.h"
#include "programs/worker/commands.h"
#include "programs/worker/json_lines.h"

namespace masbak::worker {
namespace {

struct LogitsOptions {
  std::string model, adapter, tokens, out;
  std::string dtype = "float32", device = "cpu";
  bool steps = false;
};

std::vector<std::vector<int32_t>> read_sequences(const std::string& file, int64_t vocabulary) {
  const base::Json json = base::read_json(file);
  if (!json.is_array() || json.empty()) base::fail_input("expected a list of lists of token ids", {file});
  std::vector<std::vector<int32_t>> sequences;
  for (size_t s = 0; s < json.size(); ++s) {
    const std::string place = "[" + std::to_string(s) + "]";
    if (!json[s].is_array() || json[s].empty()) {
      base::fail_input("expected a list of token ids with at least one", {file, 0, place});
    }
    std::vector<int32_t>& ids = sequences.emplace_back();
    for (const base::Json& id : json[s]) {
      if (!id.is_number_integer() || id < 0 || id >= vocabulary) {
        base::fail_input("expected token ids from 0 to " + std::to_string(vocabulary - 1) + ", found " + id.dump(),
                         {file, 0, place + "[" + std::to_string(ids.size()) + "]"});
      }
      ids.push_back(id.get<int32_t>());
    }
  }
  return sequences;
}

// [tokens, vocabulary] of one sequence: in one pass, or token by token with the cache.
at::Tensor sequence_logits(models::CausalModel& model, const std::vector<int32_t>& ids, bool steps) {
  if (!steps) return model.logits(model.hidden(models::make_batch({ids}))).to(at::kFloat).cpu().contiguous();
  const std::unique_ptr<models::KvCache> cache = model.make_cache();
  at::Tensor all;
  for (size_t i = 0; i < ids.size(); ++i) {
    models::Batch batch = models::make_batch({{ids[i]}});
    batch.slices[0].cache = cache.get();
    const at::Tensor row = model.logits(model.hidden(batch)).to(at::kFloat).cpu();
    if (i == 0) all = row.new_empty({static_cast<int64_t>(ids.size()), row.size(1)});
    all.select(0, static_cast<int64_t>(i)).copy_(row.squeeze(0));
  }
  return all;
}

int64_t logits(const LogitsOptions& options) {
  const std::unique_ptr<models::CausalModel> model =
      models::load_model_on(options.device, options.model, options.dtype);
  if (!options.adapter.empty()) adapters::apply_adapter(*model, options.adapter);
  const std::vector<std::vector<int32_t>> sequences = read_sequences(options.tokens, model->info().vocabulary);
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> results;  // alive until the file is written
  std::vector<models::TensorToWrite> tensors;
  for (const std::vector<int32_t>& ids : sequences) {
    results.push_back(sequence_logits(*model, ids, options.steps));
    tensors.push_back(models::tensor_to_write("logits." + std::to_string(tensors.size()), results.back()));
  }
  models::write_safetensors(options.out, tensors);
  return static_cast<int64_t>(sequences.size());
}

// One object a line of standard input with the names of the arguments, so that many small models cost one start.
int logits_of_lines() {
  answer_json_lines([](const base::Json& object, int line) {
    const base::Fields fields = base::Fields::from_json(object, "standard input", line);
    LogitsOptions options;
    options.model = fields.get<std::string>("model");
    options.tokens = fields.get<std::string>("tokens");
    options.out = fields.get<std::string>("out");
    options.adapter = fields.get<std::string>("adapter", "");
    options.dtype = fields.get<std::string>("dtype", options.dtype);
    options.device = fields.get<std::string>("device", options.device);
    options.steps = fields.get<bool>("steps", false);
    fields.finish();
    return base::Json{{"out", options.out}, {"sequences", logits(options)}};
  });
  return 0;
}

int run_logits(const LogitsOptions& options, bool batch) {
  const bool given = !options.model.empty() || !options.tokens.empty() || !options.out.empty();
  if (batch && given)
    base::fail_input("--batch reads models, tokens and outputs from standard input, one object a line");
  if (batch) return logits_of_lines();
  if (options.model.empty() || options.tokens.empty() || options.out.empty()) {
    base::fail_input("expected MODEL, --tokens and --out; or --batch and an object with model, tokens and out a line");
  }
  logits(options);
  return 0;
}

}  // namespace

void add_logits(CommandLine& line) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* command = line.app.add_subcommand("logits", "The logits after every token of each sequence");
  command->footer("Example: masbak-worker logits models/base --tokens T.json --out O.safetensors");
  command->add_option("MODEL", options->model, "Model folder");
  command->add_option("--tokens", options->tokens, "JSON file: a list of lists of token ids");
  command->add_option("--out", options->out, "File to write: logits.0, logits.1, … [tokens, vocabulary], float32");
  command->add_option("--adapter", options->adapter, "Adapter folder in PEFT's format");
  command->add_option("--dtype", options->dtype, "float32, bfloat16 or auto (the checkpoint's)");
  command->add_option("--device", options->device, "cpu, cuda or cuda:N")->capture_default_str();
  command->add_flag("--steps", options->steps, "Token by token with the cache, as generation does it");
  auto batch = std::make_shared<bool>(false);
  command->add_flag("--batch", *batch,
                    "Read {\"model\":…,\"tokens\":…,\"out\":…,\"dtype\":…,\"device\":…,\"steps\":…} a line instead");
  command->callback(
      [options, batch, &chosen = line.chosen] { chosen = [options, batch] { return run_logits(*options, *batch); }; });
}

}  // namespace masbak::worker
