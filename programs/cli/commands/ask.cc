// ask DEPLOYMENT "question"
#include <iostream>

#include "base/document.h"
#include "masbak/v1/deployment.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/names.h"

namespace masbak::cli {
namespace {

struct Options {
  std::string deployment, question;
  bool base = false, compare = false;
  int max_tokens = 256;
  double temperature = 0;
};

struct Answer {
  std::string text, finish_reason;
};

// Prints the pieces as they come, unless `quiet`.
Answer ask(const Client& client, const Options& options, bool base, bool quiet) {
  v1::AskRequest request;
  request.set_deployment(full_name("deployments", options.deployment));
  request.set_question(options.question);
  request.set_base(base);
  request.set_max_tokens(options.max_tokens);
  request.set_temperature(options.temperature);
  grpc::ClientContext context;
  client.prepare(context);
  v1::DeploymentService::Stub stub(client.channel());
  const auto reader = stub.Ask(&context, request);
  Answer answer;
  v1::AskResponse piece;
  while (reader->Read(&piece)) {
    if (!quiet) std::cout << piece.text() << std::flush;
    answer.text += piece.text();
    if (!piece.finish_reason().empty()) answer.finish_reason = piece.finish_reason();
  }
  if (!quiet && !answer.text.empty()) std::cout << "\n";
  if (const grpc::Status status = reader->Finish(); !status.ok()) client.fail(status);
  return answer;
}

base::Json to_json(const Answer& answer) { return {{"text", answer.text}, {"finish_reason", answer.finish_reason}}; }

int run(const Common& common, const Options& options) {
  const Client client = common.connect();
  if (common.json) {
    base::Json json = {{"deployment", full_name("deployments", options.deployment)}, {"question", options.question}};
    if (options.base || options.compare) json["base"] = to_json(ask(client, options, true, true));
    if (!options.base || options.compare) json["fine_tuned"] = to_json(ask(client, options, false, true));
    std::cout << json.dump(2) << "\n";
    return 0;
  }
  if (options.compare) {
    std::cout << "base:\n  ";
    ask(client, options, true, false);
    std::cout << "\nfine-tuned:\n  ";
    ask(client, options, false, false);
    return 0;
  }
  ask(client, options, options.base, false);
  return 0;
}

}  // namespace

void add_ask_command(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* app = commands.add(&commands.root(), "ask", "Ask a deployment; the answer streams",
                               "masbak ask pump-assistant 'What is the trip pressure of P-101?' --compare",
                               [options](const Common& common) { return run(common, *options); });
  app->add_option("DEPLOYMENT", options->deployment)->required();
  app->add_option("QUESTION", options->question)->required();
  app->add_flag("--base", options->base, "ask the base model, without the adapter");
  app->add_flag("--compare", options->compare, "ask both");
  app->add_option("--max-tokens", options->max_tokens)->capture_default_str()->check(CLI::Range(1, 1 << 20));
  app->add_option("--temperature", options->temperature)->capture_default_str()->check(CLI::Range(0.0, 10.0));
}

}  // namespace masbak::cli
