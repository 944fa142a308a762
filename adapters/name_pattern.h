// A regular expression for whole module names, in the syntax that PEFT's users write (Python's re).
#pragma once

#include <memory>
#include <string>

namespace masbak::adapters {

class NamePattern {
 public:
  // INVALID_ARGUMENT at `field` with the place and cause of the fault, if `text` is no regular expression.
  NamePattern(const std::string& text, const std::string& field);
  ~NamePattern();
  NamePattern(const NamePattern&) = delete;
  NamePattern& operator=(const NamePattern&) = delete;

  // Whether the whole of `name` matches. RESOURCE_EXHAUSTED for an expression that backtracks without end.
  bool matches(const std::string& name) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace masbak::adapters
