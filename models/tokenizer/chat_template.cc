#include "models/tokenizer/chat_template.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "models/tokenizer/chat_context.h"
#include "models/tokenizer/chat_template_files.h"
#include "models/tokenizer/jinja/parser.h"
#include "models/tokenizer/jinja/render.h"
#include "models/tokenizer/special_names.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

constexpr const char* kFile = "chat template";
constexpr size_t kLongestTemplate = 4 << 20;
constexpr size_t kMostCompiled = 64;

[[noreturn]] void fail_at(base::Code code, const std::string& message, int line) {
  throw base::Error(code, message, {.file = kFile, .line = line});
}

using Compiled = std::shared_ptr<const jinja::Template>;

Compiled compile_source(std::string_view source) {
  if (source.size() > kLongestTemplate || !is_valid_utf8(source)) {
    base::fail_input(
        "expected a chat template of at most 4 MiB in UTF-8, found " + std::to_string(source.size()) + " bytes",
        {.file = kFile});
  }
  try {
    return std::make_shared<const jinja::Template>(jinja::parse_template(source));
  } catch (const jinja::SyntaxError& error) {
    fail_at(base::Code::kInvalidArgument, error.message, error.line);
  } catch (const jinja::LimitError& error) {
    fail_at(base::Code::kResourceExhausted, error.message, 0);
  }
}

Compiled compile_file(const ChatTemplateSource& source) {
  try {
    return compile_source(source.text);
  } catch (const base::Error& error) {
    base::Where where = error.where();
    where.file = source.where.file;
    where.field = source.where.field;
    throw base::Error(error.code(), error.what(), where);
  }
}

}  // namespace

struct ChatTemplate::State {
  ChatTemplateSources sources;
  jinja::Pins pins;
  std::vector<std::pair<std::string, jinja::Value>> special_tokens;
  Compiled usual;  // the template called "default"; null if there is none

  // Others, when they are asked for.
  mutable std::mutex mutex;
  mutable std::unordered_map<std::string, Compiled> compiled;

  Compiled choose(const ChatContext::State& context) const;
  Compiled remembered(const std::string& key, const ChatTemplateSource* file) const;
  std::vector<jinja::Value> variables(const jinja::Template& parsed, const ChatContext::State& context,
                                      std::vector<bool>& defined) const;
};

Compiled ChatTemplate::State::remembered(const std::string& key, const ChatTemplateSource* file) const {
  std::lock_guard lock(mutex);
  auto found = compiled.find(key);
  if (found != compiled.end()) return found->second;
  Compiled made = file == nullptr ? compile_source(key) : compile_file(*file);
  if (compiled.size() >= kMostCompiled) compiled.clear();
  return compiled[key] = std::move(made);
}

Compiled ChatTemplate::State::choose(const ChatContext::State& context) const {
  const std::string& wanted = context.chat_template;
  if (!wanted.empty() && (!sources.named || !sources.by_name.contains(wanted))) return remembered(wanted, nullptr);
  std::string name = wanted.empty() ? "default" : wanted;
  const jinja::Value* tools = context.find("tools");
  const bool with_tools = tools != nullptr && !tools->is_none() && sources.by_name.contains("tool_use");
  if (wanted.empty() && sources.named && with_tools) name = "tool_use";
  if (name == "default" && usual != nullptr) return usual;
  auto found = sources.by_name.find(name);
  if (found != sources.by_name.end()) return remembered("\n" + name, &found->second);
  std::string names;
  for (const auto& [each, source] : sources.by_name) names += (names.empty() ? "" : ", ") + each;
  base::fail_input("expected a template named \"default\", found " + (names.empty() ? "no template" : names) +
                       "; choose one with chat_template",
                   {.field = "chat_template"});
}

std::vector<jinja::Value> ChatTemplate::State::variables(const jinja::Template& parsed,
                                                         const ChatContext::State& context,
                                                         std::vector<bool>& defined) const {
  std::vector<jinja::Value> values(parsed.names.size());
  defined.assign(parsed.names.size(), false);
  auto define = [&](const std::string& name, const jinja::Value& value) {
    auto found = parsed.name_ids.find(name);
    if (found == parsed.name_ids.end()) return;  // the template never asks for it
    values[static_cast<size_t>(found->second)] = value;
    defined[static_cast<size_t>(found->second)] = true;
  };
  define("tools", jinja::Value());
  define("documents", jinja::Value());
  define("add_generation_prompt", jinja::Value::boolean(false));
  for (const auto& [name, value] : special_tokens) define(name, value);
  for (const auto& [name, value] : context.variables) define(name, value);
  return values;
}

ChatTemplate ChatTemplate::load(const std::filesystem::path& folder) {
  ChatTemplate result = load_any(folder);
  if (result.state_->sources.by_name.empty()) {
    throw base::Error(base::Code::kNotFound,
                      "expected a chat template (chat_template.jinja or chat_template in tokenizer_config.json), found "
                      "none; take a chat model, or add its template",
                      {.file = folder.string()});
  }
  return result;
}

ChatTemplate ChatTemplate::load_any(const std::filesystem::path& folder) {
  auto state = std::make_shared<State>();
  state->sources = read_chat_templates(folder);
  auto usual = state->sources.by_name.find("default");
  if (usual != state->sources.by_name.end()) state->usual = compile_file(usual->second);
  for (const auto& [name, token] : read_special_names(folder).tokens) {
    state->special_tokens.emplace_back(name, jinja::Value::string(token.content));
    state->pins.pin(state->special_tokens.back().second);
  }
  return ChatTemplate(std::move(state));
}

ChatTemplate ChatTemplate::compile(std::string_view source, const base::Json& special_tokens) {
  auto state = std::make_shared<State>();
  state->sources.by_name["default"].text = source;
  for (const auto& [name, value] : special_tokens.items()) {
    state->special_tokens.emplace_back(name, jinja::from_json(value));
    state->pins.pin(state->special_tokens.back().second);
  }
  state->usual = compile_source(source);
  return ChatTemplate(std::move(state));
}

RenderedChat ChatTemplate::render(const ChatContext& context) const {
  const ChatContext::State& arguments = *context.state_;
  const Compiled parsed = state_->choose(arguments);
  std::vector<bool> defined;
  std::vector<jinja::Value> variables = state_->variables(*parsed, arguments, defined);
  jinja::Render render(*parsed, std::move(variables), std::move(defined));
  render.text().reserve(arguments.bytes + arguments.bytes / 8);
  try {
    render.run();
  } catch (const jinja::TemplateError& error) {
    fail_at(base::Code::kInvalidArgument, error.message, render.line());
  } catch (const jinja::LimitError& error) {
    fail_at(base::Code::kResourceExhausted, error.message, render.line());
  }
  RenderedChat result;
  result.text = std::move(render.text());
  result.generation = render.generation();
  result.has_generation_blocks = parsed->has_generation;
  if (!arguments.continued_text) return result;
  cut_at_continuation(result.text, *arguments.continued_text);
  for (auto& [begin, end] : result.generation) {
    begin = std::min(begin, result.text.size());
    end = std::min(end, result.text.size());
  }
  return result;
}

const std::string& ChatTemplate::source() const {
  static const std::string kNone;
  auto usual = state_->sources.by_name.find("default");
  return usual == state_->sources.by_name.end() ? kNone : usual->second.text;
}

}  // namespace masbak::models
