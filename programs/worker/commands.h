// The commands of masbak-worker: one file a command in commands/, one line here and in main.cc.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace masbak::worker {

// What a command's add function gets: it adds a subcommand to `app` and, in the subcommand's callback,
// stores its action in `chosen`. The action throws base::Error or returns the exit status.
struct CommandLine {
  CLI::App& app;
  std::function<int()>& chosen;
};

// (add functions, alphabetical)
void add_adopt(CommandLine& line);
void add_train(CommandLine& line);
void add_plan(CommandLine& line);
void add_merge(CommandLine& line);
void add_check(CommandLine& line);
void add_estimate(CommandLine& line);
void add_evaluate(CommandLine& line);
void add_export(CommandLine& line);
void add_generate(CommandLine& line);
void add_logits(CommandLine& line);
void add_inspect(CommandLine& line);
void add_mask(CommandLine& line);
void add_scan(CommandLine& line);
void add_render(CommandLine& line);
void add_serve(CommandLine& line);
void add_tokenize(CommandLine& line);
void add_validate(CommandLine& line);

}  // namespace masbak::worker
