// masbak-worker inspect: what a model folder holds, without loading it.
#include <iostream>
#include <memory>

#include "base/document.h"
#include "models/checkpoint/inspect.h"
#include "programs/worker/commands.h"

namespace masbak::worker {
namespace {

int inspect(const std::filesystem::path& folder, bool with_digest) {
  const models::Inspection found = models::inspect_model(folder, with_digest);
  base::Json report{{"family", found.family},
                    {"parameters", found.parameters},
                    {"active_parameters", found.active_parameters},
                    {"kv_cache_bytes_per_token", found.kv_cache_bytes_per_token},
                    {"multi_head_cache_bytes_per_token", found.multi_head_cache_bytes_per_token},
                    {"kv_cache_ratio_to_multi_head_attention", found.kv_cache_ratio},
                    {"weights_bytes", found.weights_bytes},
                    {"dtype", found.dtype},
                    {"digest", found.digest.empty() ? base::Json() : base::Json(found.digest)},
                    {"layers", found.layers},
                    {"hidden_size", found.hidden},
                    {"vocabulary", found.vocabulary},
                    {"max_positions", found.max_positions},
                    {"experts", found.experts},
                    {"experts_per_token", found.experts_per_token},
                    {"notes", found.notes}};
  std::cout << report.dump() << "\n";
  return 0;
}

}  // namespace

void add_inspect(CommandLine& line) {
  CLI::App* command = line.app.add_subcommand("inspect", "Print what a model folder holds, without loading it");
  auto folder = std::make_shared<std::filesystem::path>();
  command->add_option("MODEL", *folder, "Hugging Face folder")->required();
  auto with_digest = std::make_shared<bool>(false);
  command->add_flag("--digest", *with_digest, "Compute the digest of a folder above 64 GiB, too");
  command->footer("Example: masbak-worker inspect models/demo");
  command->callback([&chosen = line.chosen, folder, with_digest] {
    chosen = [folder, with_digest] { return inspect(*folder, *with_digest); };
  });
}

}  // namespace masbak::worker
