// tiktoken's vocabulary files. The single bytes stand before the input, since a file without them is refused.
#include "models/tokenizer/base64.h"
#include "models/tokenizer/tiktoken.h"
#include "tests/fuzz/tokenizer_inputs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace masbak;
  static const std::string bytes = [] {
    std::string lines;
    for (int byte = 0; byte < 256; ++byte) {
      lines += models::encode_base64(std::string(1, static_cast<char>(byte))) + " " + std::to_string(byte) + "\n";
    }
    return lines;
  }();
  for (const char* name : {"", "TikTokenTokenizer"}) {
    fuzz::expect_clear_errors([&] {
      models::TokenizerDocument document;
      document.file = "tiktoken.model";
      document.names.tokenizer_class = name;
      const std::string text = bytes + std::string(fuzz::text_of(data, size));
      document.json =
          models::tiktoken_document(models::parse_tiktoken(text, "tiktoken.model"), "tiktoken.model", document.names);
      fuzz::use_tokenizer(models::Tokenizer::from_document(std::move(document)));
    });
  }
  return fuzz::expect_clear_errors([&] { models::parse_tiktoken(fuzz::text_of(data, size), "tiktoken.model"); });
}
