// A regular expression for whole module names, in the syntax that PEFT's users write (Python's re).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

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

// rank_pattern or alpha_pattern: regular expressions for ends of names, of which the first that matches wins.
class PatternValues {
 public:
  PatternValues(const std::vector<std::pair<std::string, double>>& patterns, const std::string& field);
  // The value for a place with these names.
  double value(const std::vector<std::string>& names, double fallback);
  // INVALID_ARGUMENT for an expression that has matched none of the names asked for so far.
  void require_used() const;

 private:
  struct Entry {
    std::string text;
    std::unique_ptr<NamePattern> pattern;
    double value;
    bool used = false;
  };
  const std::string field_;
  std::vector<Entry> entries_;
};

}  // namespace masbak::adapters
