// The `loop` of a for statement. Items are drawn one by one, as jinja2's LoopContext does: a test on the
// loop sees what the body of the round before has changed.
#pragma once

#include <optional>

#include "models/tokenizer/jinja/render.h"

namespace masbak::models::jinja {

class LoopRun : public Object {
 public:
  LoopRun(Render& render, const Stmt& stmt, Scope* home, Items items, int64_t depth)
      : render_(render), stmt_(stmt), home_(home), items_(std::move(items)), depth_(depth) {}

  bool next();  // moves on; false at the end
  const Value& current() const { return *current_; }
  Value attribute(const std::string& name);
  Value call(Arguments& arguments);  // loop(items) of a recursive loop
  Scope* home() const { return home_; }
  // Lets go of the items: what a template may have kept of the loop must not keep them alive in a cycle.
  void close() { items_.clear(); }

  Value cycle(const Arguments& arguments) const;
  Value changed(const Arguments& arguments);

 private:
  std::optional<Value> draw();
  bool is_last();
  int64_t count();

  Render& render_;
  const Stmt& stmt_;
  Scope* home_;
  Items items_;
  size_t drawn_ = 0;
  int64_t index_ = -1, depth_;
  std::optional<Value> before_, current_, after_, seen_;
  std::optional<int64_t> count_;
  bool tested_ = false;  // the items left have passed the test already
};

}  // namespace masbak::models::jinja
