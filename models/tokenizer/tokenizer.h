// Text to token ids and back, as Hugging Face's tokenizers does it from tokenizer.json. No LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace masbak::models {

struct TokenizerDocument;

class Tokenizer {
 public:
  // From a model folder: tokenizer.json (or SentencePiece's tokenizer.model, or a tiktoken file), and
  // tokenizer_config.json / special_tokens_map.json / generation_config.json for the named special tokens. A
  // feature that is not implemented is UNIMPLEMENTED with its name, never ignored. Truncation and padding of
  // tokenizer.json do not apply, as in transformers' call without them.
  static Tokenizer load(const std::filesystem::path& folder);
  // From what read_tokenizer_document gives.
  static Tokenizer from_document(TokenizerDocument document);

  // Ids of the text; special tokens that stand in the text are recognised, as in Hugging Face.
  // With add_special_tokens the post-processor's own ones (BOS …) are added. Thread-safe.
  // INVALID_ARGUMENT if the text is not UTF-8.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens = false) const;

  // The same for many texts at once, on so many threads (0: one a core); the first error of any is thrown.
  std::vector<std::vector<int32_t>> encode_batch(const std::vector<std::string_view>& texts,
                                                 bool add_special_tokens = false, int threads = 0) const;

  // Text of the ids. OUT_OF_RANGE for an id that there is not. Bytes that do not form UTF-8 become U+FFFD.
  std::string decode(const std::vector<int32_t>& ids, bool skip_special_tokens = false) const;

  size_t vocabulary_size() const;
  std::optional<int32_t> token_id(std::string_view token) const;
  std::optional<int32_t> bos_id() const;
  // All ids that end a generation: tokenizer_config's eos_token and generation_config's eos_token_id.
  const std::vector<int32_t>& eos_ids() const;
  std::optional<int32_t> pad_id() const;
  std::string bos_token() const;  // "" if none
  std::string eos_token() const;

 private:
  struct State;
  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// Decodes a stream of ids into pieces of text that are always whole UTF-8 characters: what a streamed
// answer sends. push returns what is new (may be empty), finish what was held back.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  std::string push(int32_t id);
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  std::vector<int32_t> ids_;
  size_t prefix_ = 0, read_ = 0;
};

}  // namespace masbak::models
