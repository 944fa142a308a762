// completion bash|zsh: a script made of the commands themselves.
#include <iostream>

#include "base/error.h"
#include "programs/cli/cli.h"

namespace masbak::cli {
namespace {

// What may follow a command, as a line of the script's table: "job watch) words='--after --json …' ;;".
void write_cases(const CLI::App* app, const std::string& path, std::string& cases) {
  std::string words;
  for (const CLI::App* child : app->get_subcommands({})) words += child->get_name() + " ";
  for (const CLI::Option* option : app->get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  }
  if (!words.empty()) words.pop_back();
  cases += "    '" + path + "') words='" + words + "' ;;\n";
  for (const CLI::App* child : app->get_subcommands({})) {
    write_cases(child, path.empty() ? child->get_name() : path + " " + child->get_name(), cases);
  }
}

std::string bash_script(const CLI::App& root) {
  std::string cases;
  write_cases(&root, "", cases);
  return "# Completion for masbak. Use it with: source <(masbak completion bash)\n"
         "_masbak() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} path='' words='' word\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case $word in -*) break ;; esac\n"
         "    case \"$path\" in *' '*) break ;; esac\n"
         "    path=${path:+$path }$word\n"
         "  done\n"
         "  _masbak_words \"$path\" || _masbak_words \"${path%% *}\"\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  case $current in -*) ;; *) COMPREPLY+=($(compgen -f -- \"$current\")) ;; esac\n"
         "}\n"
         "_masbak_words() {\n"
         "  case \"$1\" in\n" +
         cases +
         "    *) return 1 ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _masbak masbak\n";
}

}  // namespace

void add_completion_command(Commands& commands) {
  const auto shell = std::make_shared<std::string>("bash");
  CLI::App* app = commands.add(&commands.root(), "completion", "Print a script that completes commands and options",
                               "source <(masbak completion bash)", [&commands, shell](const Common&) {
                                 if (*shell == "zsh") std::cout << "autoload -Uz bashcompinit && bashcompinit\n";
                                 std::cout << bash_script(commands.root());
                                 return 0;
                               });
  app->add_option("SHELL", *shell)->check(CLI::IsMember({"bash", "zsh"}))->capture_default_str();
}

}  // namespace masbak::cli
