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
  // The template writes an answer otherwise once there are later turns (it strips the reasoning of earlier turns, say).
  bool rewritten = false;
};

// Renders a conversation and finds what of it is learnt.
//
// kAll: everything. kAssistant: the assistant's answers, tool calls included. kLastTurn: of these, the ones after the
// last user's message. Where the answers are comes from the template's {% generation %} blocks, if it has some. Else
// from first principles: answer i begins where the rendering of the messages before it, with add_generation_prompt,
// ends, and ends where the rendering of the messages up to it ends, so that training sees just what generation will
// be asked to continue, and the end-of-turn token belongs to the answer.
//
// A template may write a turn otherwise when others follow. Then the answer is sought in the whole text itself: its
// content is replaced by two probes, and what of the whole text changes is its place; around it the turn's beginning
// and end must be the ones that the shorter renderings show. `eos_token` is what some templates add to the end of a
// conversation alone.
//
// INVALID_ARGUMENT with the message's field if the template refuses the conversation, leaves an answer out, or writes
// it so that its place is not certain.
MaskedText render_answers(const Conversation& conversation, const models::ChatTemplate& chat_template, LossOn loss_on,
                          const std::string& eos_token);

// Renders a prompt and its completion, `answer` (messages), which alone is learnt.
MaskedText render_completion(const base::Json& prompt, const base::Json& answer, const base::Json& tools,
                             const models::ChatTemplate& chat_template, const std::string& field);

struct TokenMask {
  std::vector<int32_t> ids;   // the tokens of the whole text, never changed by where the borders are
  std::vector<bool> trained;  // the token has a byte in an answer
};

// Tokenises and maps byte ranges to tokens. INVALID_ARGUMENT if the text cannot be traced through the
// tokeniser (one that does not give the text back).
TokenMask tokenize_with_mask(const MaskedText& masked, const models::Tokenizer& tokenizer);

}  // namespace masbak::trainer
