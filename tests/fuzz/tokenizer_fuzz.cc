// tokenizer.json: whatever it asks for, and texts through what comes of it.
#include "tests/fuzz/tokenizer_inputs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace masbak;
  return fuzz::expect_clear_errors([&] {
    models::TokenizerDocument document;
    document.file = "tokenizer.json";
    document.json = models::parse_tokenizer_json(std::string(fuzz::text_of(data, size)), "tokenizer.json");
    fuzz::use_tokenizer(models::Tokenizer::from_document(std::move(document)));
  });
}
