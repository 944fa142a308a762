#include "models/tokenizer/chat_template.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "models/tokenizer/jinja/parser.h"
#include "models/tokenizer/jinja/render.h"
#include "models/tokenizer/special_names.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

constexpr const char* kFile = "chat template";
constexpr size_t kLongestTemplate = 4 << 20;

std::string read_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) base::fail_errno("opening the chat template", file.string());
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// tokenizer_config's chat_template: a string, or a list of {"name", "template"}.
std::string configured_template(const std::filesystem::path& file) {
  base::Json config = base::read_json(file);
  if (!config.is_object() || !config.contains("chat_template")) return "";
  const base::Json& value = config["chat_template"];
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return "";
  for (const base::Json& each : value) {
    if (each.is_object() && each.value("name", "") == "default") return each.value("template", "");
  }
  base::fail_input("expected a template named \"default\", found none",
                   {.file = file.string(), .field = "chat_template"});
}

// transformers 5 passes a message's reasoning under each of the names that templates read.
base::Json with_reasoning_names(const base::Json& message) {
  const base::Json* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    auto found = message.find(name);
    if (reasoning == nullptr && found != message.end() && !found->is_null()) reasoning = &*found;
  }
  if (reasoning == nullptr) return message;
  base::Json result = {{"thinking", *reasoning}};
  for (const auto& [key, value] : message.items()) result[key] = value;
  result["reasoning_content"] = *reasoning;
  return result;
}

base::Json prepared_messages(const base::Json& messages) {
  if (!messages.is_array()) {
    base::fail_input(std::string("expected a list of messages, found ") + messages.type_name(), {.field = "messages"});
  }
  base::Json result = base::Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].is_object()) {
      base::fail_input("expected a message with role and content, found " + messages[i].dump(),
                       {.field = "messages[" + std::to_string(i) + "]"});
    }
    result.push_back(with_reasoning_names(messages[i]));
  }
  return result;
}

[[noreturn]] void fail_at(base::Code code, const std::string& message, int line) {
  throw base::Error(code, message, {.file = kFile, .line = line});
}

}  // namespace

struct ChatTemplate::State {
  std::string source;
  base::Json special_tokens;
  jinja::Template parsed;
};

ChatTemplate ChatTemplate::load(const std::filesystem::path& folder) {
  std::string source;
  std::filesystem::path file = folder / "chat_template.jinja", config = folder / "tokenizer_config.json";
  if (std::filesystem::exists(file)) {
    source = read_text(file);
  } else if (std::filesystem::exists(config)) {
    source = configured_template(config);
  }
  if (source.empty()) {
    throw base::Error(base::Code::kNotFound,
                      "expected a chat template (chat_template.jinja or chat_template in tokenizer_config.json), found "
                      "none; take a chat model, or add its template",
                      {.file = folder.string()});
  }
  base::Json special = base::Json::object();
  for (const auto& [name, token] : read_special_names(folder).tokens) special[name] = token.content;
  try {
    return compile(source, special);
  } catch (const base::Error& error) {
    base::Where where = error.where();
    bool own_file = std::filesystem::exists(file);
    where.file = (own_file ? file : config).string();
    if (!own_file) where.field = "chat_template";
    throw base::Error(error.code(), error.what(), where);
  }
}

ChatTemplate ChatTemplate::compile(std::string_view source, const base::Json& special_tokens) {
  if (source.size() > kLongestTemplate || !is_valid_utf8(source)) {
    base::fail_input(
        "expected a chat template of at most 4 MiB in UTF-8, found " + std::to_string(source.size()) + " bytes",
        {.file = kFile});
  }
  auto state = std::make_shared<State>();
  state->source = source;
  state->special_tokens = special_tokens;
  try {
    state->parsed = jinja::parse_template(source);
  } catch (const jinja::SyntaxError& error) {
    fail_at(base::Code::kInvalidArgument, error.message, error.line);
  } catch (const jinja::LimitError& error) {
    fail_at(base::Code::kResourceExhausted, error.message, 0);
  }
  return ChatTemplate(std::move(state));
}

RenderedChat ChatTemplate::render(const base::Json& context) const {
  const jinja::Template& parsed = state_->parsed;
  std::vector<jinja::Value> variables(parsed.names.size());
  std::vector<bool> defined(parsed.names.size(), false);
  auto define = [&](const std::string& name, const base::Json& value) {
    auto found = parsed.name_ids.find(name);
    if (found == parsed.name_ids.end()) return;  // the template never asks for it
    variables[static_cast<size_t>(found->second)] = jinja::from_json(value);
    defined[static_cast<size_t>(found->second)] = true;
  };
  try {
    define("tools", nullptr);
    define("documents", nullptr);
    define("add_generation_prompt", false);
    for (const auto& [name, value] : state_->special_tokens.items()) define(name, value);
    for (const auto& [name, value] : context.items()) {
      define(name, name == "messages" ? prepared_messages(value) : value);
    }
  } catch (const jinja::LimitError& error) {
    fail_at(base::Code::kResourceExhausted, error.message, 0);
  }
  jinja::Render render(parsed, std::move(variables), std::move(defined));
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
  result.has_generation_blocks = parsed.has_generation;
  return result;
}

const std::string& ChatTemplate::source() const { return state_->source; }

}  // namespace masbak::models
