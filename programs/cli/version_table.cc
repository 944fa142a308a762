#include "programs/cli/version_table.h"

#include "programs/cli/names.h"
#include "programs/cli/output.h"

namespace masbak::cli {

void print_versions(const v1::ListVersionsResponse& versions) {
  Table table({"VERSION", "BASE", "DATASET", "EVAL LOSS", "BEFORE", "GATE", "ALIASES", "CREATED"});
  for (const v1::Version& version : versions.versions()) {
    std::string aliases;
    for (const std::string& alias : version.aliases()) aliases += (aliases.empty() ? "" : ", ") + alias;
    table.add({short_version(version.name()), short_name(version.base_model()), short_name(version.dataset()),
               number(version.eval_loss()), number(version.eval_loss_before()), version.gate_state(), aliases,
               local_time(version.create_time())});
  }
  table.print("No version yet. Make one: masbak job submit RUN.yaml --model NAME --dataset DATASET");
}

}  // namespace masbak::cli
