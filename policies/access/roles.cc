#include "policies/access/roles.h"

#include <map>

#include "base/document.h"
#include "base/error.h"

namespace masbak::policies {
namespace {

constexpr unsigned bit(Role role) { return 1u << static_cast<unsigned>(role); }
constexpr unsigned kAdmins = bit(Role::kAdmin);
constexpr unsigned kApprovers = bit(Role::kApprover) | kAdmins;
constexpr unsigned kTrainers = bit(Role::kTrainer) | kAdmins;
constexpr unsigned kBoth = kTrainers | kApprovers;
constexpr unsigned kAll = bit(Role::kViewer) | kBoth;

const std::map<std::string, unsigned>& table() {
  static const std::map<std::string, unsigned> verbs{
      {"dataset.list", kAll},
      {"dataset.show", kAll},
      {"dataset.add", kTrainers},
      {"dataset.scan", kTrainers},
      {"dataset.remove", kAdmins},
      {"model.list", kAll},
      {"model.show", kAll},
      {"model.add", kTrainers},
      {"job.list", kAll},
      {"job.show", kAll},
      {"job.watch", kAll},
      {"job.submit", kTrainers},
      {"job.cancel", kTrainers},
      {"version.list", kAll},
      {"version.show", kAll},
      {"version.verify", kAll},
      {"version.register", kTrainers},
      {"version.promote", kApprovers},
      {"gate.show", kAll},
      {"gate.run", kBoth},
      {"version.approve", kApprovers},
      {"deployment.list", kAll},
      {"deployment.show", kAll},
      {"deployment.ask", kAll},
      {"deployment.deploy", kApprovers},
      {"deployment.rollback", kApprovers},
      {"deployment.remove", kApprovers},
      {"node.list", kAll},
      {"node.drain", kAdmins},
      {"node.resume", kAdmins},
      {"audit.list", kBoth},
      {"audit.verify", kBoth},
      {"bundle.export", kApprovers},
      {"bundle.import", kAdmins},
      {"user.manage", kAdmins},
      {"token.manage", kAdmins},
  };
  return verbs;
}

const std::map<std::string, Role>& roles() {
  static const std::map<std::string, Role> names{
      {"viewer", Role::kViewer}, {"trainer", Role::kTrainer}, {"approver", Role::kApprover}, {"admin", Role::kAdmin}};
  return names;
}

}  // namespace

Role parse_role(const std::string& name) {
  const auto entry = roles().find(name);
  if (entry != roles().end()) return entry->second;
  std::vector<std::string> names;
  for (const auto& known : roles()) names.push_back(known.first);
  const auto nearest = base::nearest_name(name, names);
  base::fail_input("expected a role (viewer, trainer, approver or admin), found '" + name + "'" +
                   (nearest ? "; did you mean '" + *nearest + "'?" : ""));
}

std::string role_name(Role role) {
  for (const auto& [name, known] : roles()) {
    if (known == role) return name;
  }
  base::fail_input("expected a role, found number " + std::to_string(static_cast<int>(role)));
}

bool allowed(Role role, const std::string& verb) {
  const auto entry = table().find(verb);
  return entry != table().end() && (entry->second & bit(role)) != 0;
}

std::vector<std::string> allowed_verbs(Role role) {
  std::vector<std::string> verbs;
  for (const auto& [verb, who] : table()) {
    if (who & bit(role)) verbs.push_back(verb);
  }
  return verbs;
}

}  // namespace masbak::policies
