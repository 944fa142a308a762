// config.json: which family it names, what the family makes of it, and the weights that it then needs.
#include "models/families/causal_model.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace masbak;
  return fuzz::expect_clear_errors([&] {
    const base::Json json = base::parse_json(fuzz::text_of(data, size), "config.json");
    if (!json.is_object()) return;
    const base::Fields config = base::Fields::from_json(json, "config.json");
    const models::Family& family = models::find_family(config);
    family.describe(config);
  });
}
