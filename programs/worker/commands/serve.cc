// masbak-worker serve: the OpenAI-compatible server of a model and its adapters.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "base/document.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "base/program.h"
#include "programs/worker/commands.h"
#include "services/inference/server.h"

namespace masbak::worker {

namespace {

struct ServeArguments {
  inference::ServerOptions options;
  std::string listen = "127.0.0.1:8000";
  std::vector<std::string> adapters;
  std::string api_key_file;
};

int serve(ServeArguments& arguments) {
  auto& options = arguments.options;
  inference::parse_listen_address(arguments.listen, options.host, options.port);
  for (const auto& pair : arguments.adapters) {
    const size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == pair.size()) {
      base::fail_input("expected NAME=DIR, found '" + pair + "'", {.field = "--adapter"});
    }
    if (!options.adapters.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second) {
      base::fail_input("the name '" + pair.substr(0, equals) + "' stands for two adapters", {.field = "--adapter"});
    }
  }
  if (!arguments.api_key_file.empty()) {
    options.api_key = base::read_file(arguments.api_key_file);
    while (!options.api_key.empty() && isspace(static_cast<unsigned char>(options.api_key.back()))) {
      options.api_key.pop_back();
    }
    if (options.api_key.empty())
      base::fail_input("expected a key, found an empty file", {.file = arguments.api_key_file});
  }
  base::install_stop_signals();
  inference::Server server(options);
  std::cout << base::Json{{"listening", options.host + ":" + std::to_string(server.port())}, {"pid", getpid()}}.dump()
            << std::endl;
  server.run();
  return 0;
}

}  // namespace

void add_serve(CommandLine& line) {
  auto* command = line.app.add_subcommand("serve", "Serve a model over the OpenAI API");
  auto arguments = std::make_shared<ServeArguments>();
  command->add_option("model", arguments->options.model, "Model folder")->required();
  command->add_option("--listen", arguments->listen, "HOST:PORT; port 0 takes a free one")->capture_default_str();
  command->add_option("--adapter", arguments->adapters, "NAME=DIR, a PEFT folder; may be repeated");
  command->add_option("--model-name", arguments->options.model_name, "Name of the base in the API (the folder's)");
  command->add_option("--api-key-file", arguments->api_key_file, "File with the key that clients must send");
  command->add_option("--dtype", arguments->options.dtype, "auto, float32 or bfloat16")->capture_default_str();
  command->add_option("--device", arguments->options.device, "cpu, cuda or cuda:N")->capture_default_str();
  command->add_option("--max-running", arguments->options.max_running, "Sequences in one batch")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  command->callback([arguments, &line] { line.chosen = [arguments] { return serve(*arguments); }; });
}

}  // namespace masbak::worker
