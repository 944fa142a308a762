// Statements, scopes and limits.
#include "models/tokenizer/jinja/loop.h"
#include "models/tokenizer/jinja/render.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {

// A macro, or the body of a call block, with the scope that it was defined in.
struct MacroCall : Callable {
  const Stmt* macro = nullptr;
  Scope* home = nullptr;
  Value call(Render& render, Arguments& arguments) const override {
    return render.make_text(render.call_macro(*macro, home, arguments));
  }
};

namespace {

Value macro_value(const Stmt& macro, Scope* home) {
  for (Scope* scope = home; scope != nullptr && !scope->kept; scope = scope->parent) scope->kept = true;
  auto callable = make_object<MacroCall>();
  callable->macro = &macro;
  callable->home = home;
  return Value::object(Value::Type::kCallable, callable);
}

}  // namespace

void Render::fail_nesting() const {
  throw LimitError{"the template nests more than " + std::to_string(limits_.nesting) + " deep"};
}

Render::Render(const Template& parsed, std::vector<Value> variables, std::vector<bool> defined)
    : template_(parsed), root_(std::move(variables)), root_set_(std::move(defined)) {}

Render::~Render() {
  // Namespaces may hold each other, loops and macros: empty them before they go.
  for (auto& space : namespaces_) space->items.clear();
}

void Render::run() {
  Work work(limits_.steps);
  execute(template_.body);
  // jinja2's blocks are counted in characters; one inside a macro or a captured block begins where the
  // output stood then, and so its end may not fall on the byte that its own text would give.
  for (auto& [begin, characters] : generation_) {
    size_t end = std::min(begin, root_output_.text.size());
    begin = end;
    for (size_t i = 0; i < characters && end < root_output_.text.size(); ++i) next_code_point(root_output_.text, end);
    characters = end;
  }
}

Value Render::make_text(std::string text, bool markup) {
  check_size(text);
  made_bytes_ += text.size();
  if (made_bytes_ > limits_.made_bytes) throw LimitError{"it makes more than 1 GiB of text"};
  return Value::string(std::move(text), markup);
}

Value Render::make_namespace(std::vector<std::pair<std::string, Value>> items) {
  auto space = make_object<Namespace>();
  for (auto& [key, value] : items) space->set(key, std::move(value));
  namespaces_.push_back(space);
  return Value::object(Value::Type::kNamespace, space);
}

Scope* Render::enter(Scope* parent) {
  if (free_scopes_.empty()) {
    scopes_.push_back(std::make_unique<Scope>());
    free_scopes_.push_back(scopes_.back().get());
  }
  Scope* scope = free_scopes_.back();
  free_scopes_.pop_back();
  scope->parent = parent;
  return scope;
}

void Render::leave(Scope* scope) {
  if (scope->kept) return;
  scope->variables.clear();
  free_scopes_.push_back(scope);
}

void Render::store(int name, Value value) {
  if (scope_ == nullptr) {
    root_[static_cast<size_t>(name)] = std::move(value);
    root_set_[static_cast<size_t>(name)] = true;
    return;
  }
  for (auto& [id, old] : scope_->variables) {
    if (id == name) {
      old = std::move(value);
      return;
    }
  }
  scope_->variables.emplace_back(name, std::move(value));
}

void Render::assign(const Target& target, Value value) {
  if (target.tuple) {
    Items items = iterate(value);
    if (items.size() != target.several.size()) {
      fail(items.size() > target.several.size()
               ? "too many values to unpack (expected " + std::to_string(target.several.size()) + ")"
               : "not enough values to unpack (expected " + std::to_string(target.several.size()) + ", got " +
                     std::to_string(items.size()) + ")");
    }
    for (size_t i = 0; i < items.size(); ++i) assign(target.several[i], std::move(items[i]));
    return;
  }
  if (target.field.empty()) {
    store(target.name, std::move(value));
    return;
  }
  const Value* space = look_up(target.name);
  if (space == nullptr || space->type() != Value::Type::kNamespace)
    fail("cannot assign attribute on non-namespace object");
  if (target.field[0] == '_') {
    fail("Chat templates cannot store underscore-prefixed attributes on a namespace, but got '" + target.field +
         "'. Please rename the attribute.");
  }
  space->get<Namespace>().set(target.field, std::move(value));
}

void Render::write(std::string_view text) {
  if (output_->text.size() + text.size() > limits_.output_bytes) throw LimitError{"the output grew past 64 MiB"};
  output_->text += text;
}

void Render::write(const Value& value) {
  if (value.is_string()) {
    write(std::string_view(value.text()));
  } else {
    write(std::string_view(to_text(value)));
  }
}

void Render::write_value_of(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::kConst: write(expr.constant); return;
    case Expr::Kind::kCondition:
      if (!truth(evaluate(*expr.kids[0]))) {
        if (expr.kids[2]) write_value_of(*expr.kids[2]);
        return;  // without else it is undefined, which is written as nothing
      }
      write_value_of(*expr.kids[1]);
      return;
    case Expr::Kind::kBinary:
      // Straight to the output, unless a generation block in a macro could ask how long that is by now.
      if (expr.binary == BinaryOp::kAdd && !template_.has_generation) {
        if (const std::optional<Value> value = evaluate_sum(expr, output_->text)) write(*value);
        write(std::string_view());  // looks at the length
        return;
      }
      break;
    default: break;
  }
  write(evaluate(expr));
}

std::string Render::captured(const Block& block) {
  Output inner;
  Output* outer = output_;
  output_ = &inner;
  execute(block);
  output_ = outer;
  made_bytes_ += inner.text.size();
  if (made_bytes_ > limits_.made_bytes) throw LimitError{"it makes more than 1 GiB of text"};
  return std::move(inner.text);
}

Render::Flow Render::execute(const Block& block) {
  Depth depth(*this);
  for (const StmtPtr& stmt : block) {
    Flow flow = execute(*stmt);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Render::Flow Render::execute(const Stmt& stmt) {
  spend();
  line_ = stmt.line;
  switch (stmt.kind) {
    case Stmt::Kind::kData: write(std::string_view(stmt.data)); break;
    case Stmt::Kind::kOutput:
      for (const ExprPtr& expr : stmt.exprs) write_value_of(*expr);
      break;
    case Stmt::Kind::kSet: assign(stmt.targets[0], evaluate(*stmt.exprs[0])); break;
    case Stmt::Kind::kSetBlock:
    case Stmt::Kind::kFilterBlock: {
      Scope* outer = scope_;
      scope_ = enter(outer);
      Value text = make_text(captured(stmt.blocks[0]));
      if (stmt.filters->kind == Expr::Kind::kFilter) text = evaluate_filter(*stmt.filters, &text);
      leave(scope_);
      scope_ = outer;
      if (stmt.kind == Stmt::Kind::kSetBlock) {
        assign(stmt.targets[0], std::move(text));
      } else {
        if (!text.is_string()) fail("sequence item 0: expected str instance, " + type_name(text) + " found");
        write(text);
      }
      break;
    }
    case Stmt::Kind::kFor: run_loop(stmt, scope_, iterate(evaluate(*stmt.exprs[0])), 0); break;
    case Stmt::Kind::kIf: return execute_if(stmt);
    case Stmt::Kind::kMacro: store(stmt.name, macro_value(stmt, scope_)); break;
    case Stmt::Kind::kCallBlock: execute_call_block(stmt); break;
    case Stmt::Kind::kWith: execute_with(stmt); break;
    case Stmt::Kind::kScope: {
      Scope* outer = scope_;
      scope_ = enter(outer);
      Flow flow = execute(stmt.blocks[0]);
      leave(scope_);
      scope_ = outer;
      return flow;
    }
    case Stmt::Kind::kGeneration: execute_generation(stmt); break;
    case Stmt::Kind::kBreak: return Flow::kBreak;
    case Stmt::Kind::kContinue: return Flow::kContinue;
    case Stmt::Kind::kUnsupported: fail("'" + stmt.data + "' needs another template, and a chat template has none");
  }
  return Flow::kNormal;
}

Render::Flow Render::execute_if(const Stmt& stmt) {
  for (size_t i = 0; i < stmt.exprs.size(); ++i) {
    if (truth(evaluate(*stmt.exprs[i]))) return execute(stmt.blocks[i]);
  }
  return stmt.has_else ? execute(stmt.blocks.back()) : Flow::kNormal;
}

void Render::run_loop(const Stmt& stmt, Scope* home, Items items, int64_t depth) {
  Depth nesting(*this);
  auto loop = make_object<LoopRun>(*this, stmt, home, std::move(items), depth);
  Scope* outer = scope_;
  bool any = false;
  while (loop->next()) {
    Scope* scope = scope_ = enter(home);
    assign(stmt.targets[0], loop->current());
    if (stmt.uses_loop || stmt.recursive) store(template_.loop, Value::object(Value::Type::kLoop, loop));
    Flow flow = execute(stmt.blocks[0]);
    leave(scope);
    if (flow == Flow::kBreak) break;
    any = any || flow == Flow::kNormal;  // jinja2 notes it at the end of a round, which `continue` does not reach
  }
  scope_ = outer;
  loop->close();
  if (any || !stmt.has_else) return;
  Scope* scope = scope_ = enter(home);
  execute(stmt.blocks[1]);
  leave(scope);
  scope_ = outer;
}

Value Render::recurse(const Stmt& stmt, Scope* home, Items items, int64_t depth) {
  if (++calls_ > limits_.calls) throw LimitError{"it calls more than " + std::to_string(limits_.calls) + " deep"};
  Output inner;
  Output* outer = output_;
  output_ = &inner;
  run_loop(stmt, home, std::move(items), depth);
  output_ = outer;
  --calls_;
  return make_text(std::move(inner.text));
}

void Render::execute_with(const Stmt& stmt) {
  Items values;
  for (const ExprPtr& expr : stmt.exprs) values.push_back(evaluate(*expr));
  Scope* outer = scope_;
  Scope* scope = scope_ = enter(outer);
  for (size_t i = 0; i < values.size(); ++i) assign(stmt.targets[i], std::move(values[i]));
  execute(stmt.blocks[0]);
  leave(scope);
  scope_ = outer;
}

// transformers calls the body as jinja2 does a call block's, and notes how long the output was before it.
void Render::execute_generation(const Stmt& stmt) {
  Scope* outer = scope_;
  Scope* scope = scope_ = enter(outer);
  std::string text = captured(stmt.blocks[0]);
  leave(scope);
  scope_ = outer;
  generation_.emplace_back(root_output_.text.size(), count_code_points(text));
  write(std::string_view(text));
}

void Render::execute_call_block(const Stmt& stmt) {
  const Expr& call_expr = *stmt.exprs[0];
  Value callee = evaluate(*call_expr.kids[0]);
  Arguments arguments = evaluate_arguments(call_expr.arguments);
  arguments.named.emplace_back("caller", macro_value(stmt, scope_));
  write(call(callee, arguments));
}

std::string Render::call_macro(const Stmt& macro, Scope* home, Arguments& arguments) {
  if (++calls_ > limits_.calls)
    throw LimitError{"it calls macros more than " + std::to_string(limits_.calls) + " deep"};
  Scope* outer = scope_;
  Scope* scope = scope_ = enter(home);
  bind_parameters(macro, arguments);
  std::string text = captured(macro.blocks[0]);
  leave(scope);
  scope_ = outer;
  --calls_;
  return text;
}

void Render::bind_parameters(const Stmt& macro, Arguments& arguments) {
  auto take_named = [&](const std::string& name) -> std::optional<Value> {
    for (size_t i = 0; i < arguments.named.size(); ++i) {
      if (arguments.named[i].first != name) continue;
      Value value = std::move(arguments.named[i].second);
      arguments.named.erase(arguments.named.begin() + static_cast<std::ptrdiff_t>(i));
      return value;
    }
    return std::nullopt;
  };
  std::string title = "macro '" + macro.data + "'";
  std::vector<const Parameter*> missing;
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    if (i < arguments.positional.size()) {
      store(parameter.name, arguments.positional[i]);
    } else if (std::optional<Value> value = take_named(parameter.text)) {
      store(parameter.name, std::move(*value));
    } else {
      missing.push_back(&parameter);
    }
  }
  if (macro.uses_caller) {
    std::optional<Value> caller = take_named("caller");
    store(template_.caller, caller ? std::move(*caller) : Value::undefined("No caller defined"));
  }
  if (macro.uses_kwargs) {
    std::vector<std::pair<Value, Value>> items;
    for (auto& [name, value] : arguments.named) items.emplace_back(Value::string(name), std::move(value));
    store(template_.kwargs, make_dict(std::move(items)));
  } else if (!arguments.named.empty()) {
    fail(title + " takes no keyword argument '" + arguments.named[0].first + "'");
  }
  size_t count = macro.parameters.size();
  if (macro.uses_varargs) {
    Items rest;
    for (size_t i = count; i < arguments.positional.size(); ++i) rest.push_back(arguments.positional[i]);
    store(template_.varargs, make_list(std::move(rest), List::Kind::kTuple));
  } else if (arguments.positional.size() > count) {
    fail(title + " takes not more than " + std::to_string(count) + " argument(s)");
  }
  for (const Parameter* parameter : missing) {
    Value value = parameter->fallback ? evaluate(*parameter->fallback)
                                      : Value::undefined("parameter '" + parameter->text + "' was not provided");
    store(parameter->name, std::move(value));
  }
}

}  // namespace masbak::models::jinja
