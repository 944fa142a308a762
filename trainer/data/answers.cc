// Where the answers are in a rendered conversation.
#include <algorithm>
#include <array>
#include <optional>

#include "base/error.h"
#include "trainer/data/mask.h"

namespace masbak::trainer {
namespace {

using base::Json;

// What stands for an answer when its place is sought: they differ from one another in their first and last letters, so
// that at least one differs there from any answer. Nothing in them means anything to a template.
constexpr std::array kProbes{"QKZJprobeVWXQ", "XVBJprobeKQZX"};

constexpr const char* kAdvice =
    "; add {% generation %} blocks to the chat template, or set training.assistant_only_loss: false";

[[noreturn]] void fail_at(size_t message, const std::string& what) {
  base::fail_input("cannot find the answer in the rendered chat: " + what + kAdvice,
                   {.field = "messages[" + std::to_string(message) + "]"});
}

size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + std::min(a.size(), b.size()), b.begin()).first -
                             a.begin());
}

size_t common_suffix(std::string_view a, std::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.rbegin(), a.rbegin() + static_cast<std::ptrdiff_t>(most), b.rbegin()).first - a.rbegin());
}

// The "<…>" that the text begins with, as special tokens are written; "" if it does not.
std::string_view angle_token(std::string_view text) {
  const size_t end = text.substr(0, 40).find_first_of("> \n\t");
  return text.starts_with('<') && end != std::string_view::npos && text[end] == '>' ? text.substr(0, end + 1) : "";
}

// Answers of one conversation, found by rendering parts and variants of it.
class AnswerFinder {
 public:
  AnswerFinder(const Conversation& conversation, const models::ChatTemplate& chat_template, const std::string& full,
               const std::string& eos_token)
      : messages_(conversation.messages),
        tools_(conversation.tools),
        template_(chat_template),
        full_(full),
        eos_token_(eos_token) {}

  // The answer that message `index` is. `from` is where the one before it ends.
  ByteRange find(size_t index, size_t from) {
    const bool last = index + 1 == messages_.size();
    const Json before = first(index), with = first(index + 1);
    const std::string asked = render(before, true);
    const std::string answered = last ? full_ : render(with, false);
    const bool begins = full_.starts_with(asked);
    std::optional<size_t> end = end_of(before, answered);
    if (begins && end) {
      if (*end < asked.size()) fail_at(index, "the template leaves it out");
      return {asked.size(), *end};
    }
    const ByteRange place = probe(messages_, index, full_);
    if (place.first >= place.second) fail_at(index, "the template leaves this earlier turn out of the whole chat");
    if (!end || !begins) rewritten_ = rewritten_ || !last;
    const size_t begin = begins ? asked.size() : begin_before(before, asked, from, place.first, index);
    if (!end) end = end_after(before, with, answered, place.second, index);
    if (begin > place.first || *end < place.second) {
      fail_at(index, "the template writes this earlier turn otherwise in the whole chat");
    }
    return {begin, *end};
  }

  bool rewritten() const { return rewritten_; }

  std::string render(const Json& messages, bool add_generation_prompt) const {
    Json context{{"messages", messages}, {"add_generation_prompt", add_generation_prompt}};
    if (!tools_.is_null()) context["tools"] = tools_;
    return template_.render(context).text;
  }

  Json first(size_t count) const {
    return Json(Json::array_t(messages_.begin(), messages_.begin() + static_cast<std::ptrdiff_t>(count)));
  }

 private:
  // Where `answered`, the rendering of the first messages, ends in the whole text, if it begins the whole text.
  std::optional<size_t> end_of(const Json& before, const std::string& answered) const {
    if (full_.starts_with(answered)) return answered.size();
    if (!answered.ends_with(eos_token_)) return std::nullopt;
    const size_t size = answered.size() - eos_token_.size();
    if (!full_.starts_with(std::string_view(answered).substr(0, size)) || !closes_with_eos(before)) return std::nullopt;
    return size;
  }

  // Whether the template ends any conversation with the end-of-text token: then it is not the answer's.
  bool closes_with_eos(const Json& before) const {
    return !eos_token_.empty() && !before.empty() && render(before, false).ends_with(eos_token_);
  }

  // The bytes of `text`, the rendering of `messages`, that depend on what message `index` says.
  ByteRange probe(Json messages, size_t index, const std::string& text) const {
    const Json original = messages[index];
    size_t begin = text.size(), end = 0;
    for (const char* word : kProbes) {
      Json& message = messages[index] = original;
      const bool says = original.contains("content") && !original["content"].get_ref<const std::string&>().empty();
      if (says) {
        message["content"] = word;
      } else {
        message["tool_calls"][0]["function"]["name"] = word;
      }
      const std::string variant = render(messages, false);
      begin = std::min(begin, common_prefix(text, variant));
      end = std::max(end, text.size() - common_suffix(text, variant));
    }
    return {begin, end};
  }

  // The turn's beginning: the last place before `content` where the text before the turn ends and the generation
  // prompt, as far as the template writes it there, follows.
  size_t begin_before(const Json& before, const std::string& asked, size_t from, size_t content, size_t index) const {
    const std::string closed = render(before, false);
    const std::string_view prompt = asked.starts_with(closed) ? std::string_view(asked).substr(closed.size()) : "";
    if (prompt.empty()) fail_at(index, "the template does not say where an earlier turn begins");
    // Enough of the text before to hold the end of the message before it, and no more: what is further back may be
    // written otherwise.
    const size_t least = std::min<size_t>(closed.size(), 8);
    for (size_t length = std::min<size_t>(closed.size(), 64); length >= std::max<size_t>(least, 1); length /= 2) {
      const std::string_view tail = std::string_view(closed).substr(closed.size() - length);
      const size_t place = std::string_view(full_).substr(0, content).rfind(tail);
      if (place == std::string_view::npos || place + length < from) continue;
      const size_t turn = place + length;
      const size_t written = common_prefix(std::string_view(full_).substr(turn, content - turn), prompt);
      if (2 * written >= prompt.size()) return turn + written;
    }
    fail_at(index, "the template writes the turn otherwise than the generation prompt begins it");
  }

  // The turn's end: what follows the content in the shorter rendering must follow it in the whole text.
  size_t end_after(const Json& before, const Json& with, const std::string& answered, size_t content_end,
                   size_t index) const {
    const ByteRange shown = probe(with, index, answered);
    std::string_view rest = std::string_view(answered).substr(shown.second);
    const std::string_view whole = std::string_view(full_).substr(content_end);
    if (!whole.starts_with(rest) && rest.ends_with(eos_token_) && closes_with_eos(before)) {
      rest.remove_suffix(eos_token_.size());
    }
    // The last turn may end with another token than the earlier ones (gpt-oss: <|return|> and <|end|>).
    if (!whole.starts_with(rest) && angle_token(rest) == rest && !angle_token(whole).empty()) rest = angle_token(whole);
    if (shown.first >= shown.second || !whole.starts_with(rest)) {
      fail_at(index, "the template ends this earlier turn otherwise in the whole chat");
    }
    return content_end + rest.size();
  }

  const Json& messages_;
  const Json& tools_;
  const models::ChatTemplate& template_;
  const std::string& full_;
  const std::string& eos_token_;
  bool rewritten_ = false;
};

bool is_answer(const Json& message) { return message["role"] == "assistant"; }

// The number of messages up to and with the last one of a user.
size_t after_last_user(const Json& messages) {
  for (size_t i = messages.size(); i > 0; --i) {
    if (messages[i - 1]["role"] == "user") return i;
  }
  return 0;
}

// Ranges in order, overlapping and touching ones joined.
std::vector<ByteRange> tidy(std::vector<ByteRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<ByteRange> result;
  for (const ByteRange& range : ranges) {
    if (range.first >= range.second) continue;
    if (!result.empty() && range.first <= result.back().second) {
      result.back().second = std::max(result.back().second, range.second);
    } else {
      result.push_back(range);
    }
  }
  return result;
}

// Of the template's own blocks those after the last user's message.
std::vector<ByteRange> last_blocks(const Json& messages, const AnswerFinder& finder, std::vector<ByteRange> blocks,
                                   const std::string& full) {
  const size_t turn = after_last_user(messages);
  const std::string asked = finder.render(finder.first(turn), true);
  if (!full.starts_with(asked)) {
    const auto answers = std::count_if(messages.begin() + static_cast<std::ptrdiff_t>(turn), messages.end(), is_answer);
    if (answers != 1 || blocks.empty()) fail_at(turn, "the template writes the turns before the last one otherwise");
    return {blocks.back()};
  }
  std::erase_if(blocks, [&](const ByteRange& block) { return block.second <= asked.size(); });
  return blocks;
}

}  // namespace

MaskedText render_answers(const Conversation& conversation, const models::ChatTemplate& chat_template, LossOn loss_on,
                          const std::string& eos_token) {
  const Json& messages = conversation.messages;
  Json context{{"messages", messages}, {"add_generation_prompt", false}};
  if (!conversation.tools.is_null()) context["tools"] = conversation.tools;
  models::RenderedChat full = chat_template.render(context);
  MaskedText result{std::move(full.text), {}, false};
  if (loss_on == LossOn::kAll) {
    result.answers = tidy({{0, result.text.size()}});
    return result;
  }
  AnswerFinder finder(conversation, chat_template, result.text, eos_token);
  const bool last_only = loss_on == LossOn::kLastTurn;
  if (full.has_generation_blocks) {
    std::vector<ByteRange> blocks = std::move(full.generation);
    if (last_only) blocks = last_blocks(messages, finder, std::move(blocks), result.text);
    result.answers = tidy(std::move(blocks));
    return result;
  }
  size_t from = 0;
  for (size_t i = last_only ? after_last_user(messages) : 0; i < messages.size(); ++i) {
    if (!is_answer(messages[i])) continue;
    const ByteRange answer = finder.find(i, from);
    if (answer.first < from) fail_at(i, "two answers lie in one another");
    from = answer.second;
    result.answers.push_back(answer);
  }
  result.answers = tidy(std::move(result.answers));
  result.rewritten = finder.rewritten();
  return result;
}

MaskedText render_completion(const Json& prompt, const Json& answer, const Json& tools,
                             const models::ChatTemplate& chat_template, const std::string& field) {
  Json messages = prompt;
  for (const Json& message : answer) messages.push_back(message);
  Json context{{"messages", prompt}, {"add_generation_prompt", true}};
  if (!tools.is_null()) context["tools"] = tools;
  const std::string asked = chat_template.render(context).text;
  context["messages"] = messages;
  context["add_generation_prompt"] = false;
  MaskedText result{chat_template.render(context).text, {}, false};
  // A generation prompt may open what this answer does not have (an empty block for reasoning, say): the answer begins
  // where the two part, which is never before the end of the prompt's own messages.
  size_t begin = asked.size();
  if (!result.text.starts_with(asked)) {
    context["messages"] = prompt;
    const std::string closed = chat_template.render(context).text;
    begin = common_prefix(result.text, asked);
    if (!asked.starts_with(closed) || begin <= closed.size()) {
      base::fail_input(
          "cannot find the answer in the rendered chat: the template writes the prompt otherwise when an "
          "answer follows",
          {.field = field});
    }
  }
  result.answers = tidy({{begin, result.text.size()}});
  return result;
}

}  // namespace masbak::trainer
