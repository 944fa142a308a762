// One rendering of a template: the state, the limits, and the evaluation of expressions and statements.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/tokenizer/jinja/ast.h"

namespace masbak::models::jinja {

struct Limits {
  int64_t steps = 10'000'000;
  int calls = 200;     // macros that call macros
  int nesting = 3000;  // of the evaluation in itself
  size_t output_bytes = kLongestText;
  size_t made_bytes = 1u << 30;  // of all texts made on the way
};

// Variables of one block. A scope that a macro was defined in lives as long as the rendering.
struct Scope {
  Scope* parent = nullptr;
  bool kept = false;
  std::vector<std::pair<int, Value>> variables;
};

// Where output goes. The text of the outermost one is the result.
struct Output {
  std::string text;
};

class Render {
 public:
  // `variables` by name id; the template must outlive the rendering.
  Render(const Template& parsed, std::vector<Value> variables, std::vector<bool> defined);
  ~Render();

  // Throws TemplateError or LimitError; line() is then where.
  void run();
  std::string& text() { return root_output_.text; }
  const std::vector<std::pair<size_t, size_t>>& generation() const { return generation_; }
  int line() const { return line_; }

  // For filters, methods and functions.
  static void spend(int64_t steps = 1) { Work::spend(steps); }
  static void spend_bytes(size_t bytes) { Work::spend_bytes(bytes); }
  Value make_text(std::string text, bool markup = false);  // counted
  Value call(const Value& callee, Arguments& arguments);
  Value attribute(const Value& object, const std::string& name);  // object.name
  Value attribute(const Value& object, const Expr& expr);         // as `expr` names it
  Value item(const Value& object, const Value& key);              // object[key]
  Value apply_filter(const std::string& name, const Value& input, Arguments& arguments);
  bool apply_test(const std::string& name, const Value& input, Arguments& arguments);
  Value make_namespace(std::vector<std::pair<std::string, Value>> items);

 private:
  friend struct MacroCall;
  friend class LoopRun;
  enum class Flow : uint8_t { kNormal, kBreak, kContinue };

  struct Depth {
    explicit Depth(Render& render) : render_(render) {
      if (render.nesting_ >= render.limits_.nesting) render.fail_nesting();
      ++render.nesting_;
    }
    ~Depth() { --render_.nesting_; }
    Render& render_;
  };
  [[noreturn]] void fail_nesting() const;

  Value evaluate(const Expr& expr);
  Value evaluate_name(const Expr& expr);
  Value evaluate_binary(const Expr& expr);
  // a + b + c …, of which all but the rarest are texts: joined once, in `text`, as far as they are. Otherwise the value
  // of the whole, and `text` as it was.
  std::optional<Value> evaluate_sum(const Expr& expr, std::string& text);
  Value evaluate_compare(const Expr& expr);
  Value evaluate_concat(const Expr& expr);
  Value evaluate_item(const Expr& expr);
  Value evaluate_call(const Expr& expr);
  Value evaluate_filter(const Expr& expr, const Value* body);
  bool evaluate_test(const Expr& expr);
  Value evaluate_dict(const Expr& expr);
  Value slice(const Value& object, const Expr& slice);
  Arguments evaluate_arguments(const CallArguments& arguments);
  const Value* look_up(int name) const;

  Flow execute(const Block& block);
  Flow execute(const Stmt& stmt);
  Flow execute_if(const Stmt& stmt);
  void execute_with(const Stmt& stmt);
  void execute_generation(const Stmt& stmt);
  void execute_call_block(const Stmt& stmt);
  void assign(const Target& target, Value value);
  void store(int name, Value value);
  void write(const Value& value);
  void write(std::string_view text);
  void write_value_of(const Expr& expr);  // the same as write(evaluate(expr))
  std::string captured(const Block& block);
  // The rounds of a loop in the scope `home`; also from loop(…) of a recursive one, as text.
  void run_loop(const Stmt& stmt, Scope* home, Items items, int64_t depth);
  Value recurse(const Stmt& stmt, Scope* home, Items items, int64_t depth);
  std::string call_macro(const Stmt& macro, Scope* home, Arguments& arguments);
  void bind_parameters(const Stmt& macro, Arguments& arguments);

  Scope* enter(Scope* parent);
  void leave(Scope* scope);

  const Template& template_;
  std::vector<Value> root_;  // variables of the outermost scope, by name id
  std::vector<bool> root_set_;
  Scope* scope_ = nullptr;  // null: the outermost
  std::vector<std::unique_ptr<Scope>> scopes_;
  std::vector<Scope*> free_scopes_;
  std::vector<Ref<Namespace>> namespaces_;
  Output root_output_;
  Output* output_ = &root_output_;
  std::vector<std::pair<size_t, size_t>> generation_;
  Limits limits_;
  size_t made_bytes_ = 0;
  int nesting_ = 0, calls_ = 0, line_ = 1;
};

// Functions that every template has: range, dict, namespace, raise_exception, strftime_now, …; null otherwise.
const Value* find_global(const std::string& name);
// A method of a value: `unsafe` is set for one that the sandbox refuses.
Method find_method(const Value& receiver, const std::string& name, bool& unsafe);

Value binary(Render& render, BinaryOp op, const Value& left, const Value& right);
std::string to_json_text(const Value& value, bool ascii, const Value& indent, std::string item_separator,
                         std::string key_separator, bool sort_keys);
// '%' formatting, and str.format.
std::string percent_format(Render& render, std::string_view format, const Value& arguments);
std::string brace_format(Render& render, std::string_view format, const Arguments& arguments);
std::string local_time(const std::string& format);
// Text of an argument that must be a string.
const std::string& string_argument(const Value& value, const char* callee);
int64_t integer_argument(const Value& value, const char* callee);

}  // namespace masbak::models::jinja
