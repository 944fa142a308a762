#include "models/tokenizer/jinja/loop.h"

namespace masbak::models::jinja {
namespace {

// loop.cycle and loop.changed, bound to their loop.
struct LoopMethod : Callable {
  Ref<LoopRun> loop;
  bool cycle = false;
  Value call(Render&, Arguments& arguments) const override {
    LoopRun& run = *loop;
    return cycle ? run.cycle(arguments) : run.changed(arguments);
  }
};

}  // namespace

std::optional<Value> LoopRun::draw() {
  while (drawn_ < items_.size()) {
    Value item = items_[drawn_++];
    render_.spend();
    if (!stmt_.exprs[1] || tested_) return item;
    Scope* outer = render_.scope_;
    Scope* scope = render_.scope_ = render_.enter(home_);
    render_.assign(stmt_.targets[0], item);
    bool wanted = truth(render_.evaluate(*stmt_.exprs[1]));
    render_.leave(scope);
    render_.scope_ = outer;
    if (wanted) return item;
  }
  return std::nullopt;
}

bool LoopRun::next() {
  std::optional<Value> item = std::move(after_);
  after_.reset();
  if (!item) item = draw();
  if (!item) return false;
  ++index_;
  before_ = std::move(current_);
  current_ = std::move(item);
  return true;
}

bool LoopRun::is_last() {
  if (!after_) after_ = draw();
  return !after_;
}

int64_t LoopRun::count() {
  if (count_) return *count_;
  if (!stmt_.exprs[1]) {
    count_ = static_cast<int64_t>(items_.size());
    return *count_;
  }
  Items rest;  // drawing them all tells how many pass the test
  while (std::optional<Value> item = draw()) rest.push_back(*item);
  count_ = index_ + 1 + (after_ ? 1 : 0) + static_cast<int64_t>(rest.size());
  items_ = std::move(rest);
  drawn_ = 0;
  tested_ = true;
  return *count_;
}

Value LoopRun::attribute(const std::string& name) {
  if (name == "index") return Value::integer(index_ + 1);
  if (name == "index0") return Value::integer(index_);
  if (name == "first") return Value::boolean(index_ == 0);
  if (name == "last") return Value::boolean(is_last());
  if (name == "length") return Value::integer(count());
  if (name == "revindex") return Value::integer(count() - index_);
  if (name == "revindex0") return Value::integer(count() - index_ - 1);
  if (name == "depth") return Value::integer(depth_ + 1);
  if (name == "depth0") return Value::integer(depth_);
  if (name == "previtem") return before_ ? *before_ : Value::undefined("there is no previous item");
  if (name == "nextitem") return is_last() ? Value::undefined("there is no next item") : *after_;
  if (name == "cycle" || name == "changed") {
    auto method = make_object<LoopMethod>();
    method->loop = Ref<LoopRun>(this);
    method->cycle = name == "cycle";
    return Value::object(Value::Type::kCallable, method);
  }
  return Value::undefined("'jinja2.runtime.LoopContext object' has no attribute '" + name + "'");
}

Value LoopRun::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) fail("no items for cycling given");
  return arguments.positional[static_cast<size_t>(index_) % arguments.positional.size()];
}

Value LoopRun::changed(const Arguments& arguments) {
  Value now = make_list(arguments.positional, List::Kind::kTuple);
  bool differs = !seen_ || !equal(*seen_, now);
  seen_ = std::move(now);
  return Value::boolean(differs);
}

Value LoopRun::call(Arguments& arguments) {
  if (!stmt_.recursive) fail("The loop must have the 'recursive' marker to be called recursively.");
  if (arguments.positional.size() != 1) fail("loop() takes exactly one argument");
  return render_.recurse(stmt_, home_, iterate(arguments.positional[0]), depth_ + 1);
}

}  // namespace masbak::models::jinja
