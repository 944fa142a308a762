// Where the loss is: byte ranges of a rendered conversation, and the tokens that they cover.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/tokenizer/chat_template.h"
#include "models/tokenizer/tokenizer.h"
#include "trainer/data/dataset.h"

namespace masbak::trainer {

using ByteRange = std::pair<size_t, size_t>;  // [begin, end)

struct MaskedText {
  std::string text;
  std::vector<ByteRange> answers;  // in order, apart, none empty
};

// Renders a conversation and finds its answers. From the template's {% generation %} blocks, if it has
// some. Else from first principles: the answer of assistant message i is what the rendering of messages
// 0…i has beyond the rendering of messages 0…i-1 with add_generation_prompt, so that training sees just
// what generation will be asked to continue, and the end-of-turn token belongs to the answer.
// INVALID_ARGUMENT if the template refuses the conversation, or if a rendering is not the beginning of
// the next one (a template that rewrites earlier turns): then the place of the answer is not certain.
MaskedText render_answers(const Conversation& conversation, const models::ChatTemplate& chat_template);

struct TokenMask {
  std::vector<int32_t> ids;    // the tokens of the whole text, never changed by where the borders are
  std::vector<bool> trained;   // the token has a byte in an answer
};

// Tokenises and maps byte ranges to tokens. INVALID_ARGUMENT if the text cannot be traced through the
// tokeniser (one that does not give the text back).
TokenMask tokenize_with_mask(const MaskedText& masked, const models::Tokenizer& tokenizer);

}  // namespace masbak::trainer
