// SentencePiece's tokenizer.model, converted for LlamaTokenizer and for no class in particular.
#include "models/tokenizer/sentencepiece.h"
#include "tests/fuzz/tokenizer_inputs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace masbak;
  for (const char* name : {"", "LlamaTokenizer"}) {
    fuzz::expect_clear_errors([&] {
      models::TokenizerDocument document;
      document.file = "tokenizer.model";
      document.names.tokenizer_class = name;
      document.json = models::sentencepiece_document(
          models::parse_sentencepiece(fuzz::text_of(data, size), "tokenizer.model"), "tokenizer.model", document.names);
      fuzz::use_tokenizer(models::Tokenizer::from_document(std::move(document)));
    });
  }
  return 0;
}
