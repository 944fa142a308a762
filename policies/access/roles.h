// Who may do what: roles and the verbs that they allow. A pure table.
#pragma once

#include <string>
#include <vector>

namespace masbak::policies {

// Who trains cannot approve, and who approves cannot train: two people stand behind each promotion.
//   viewer    look at everything, ask deployments
//   trainer   and add data, run jobs, evaluate, register versions
//   approver  look, approve, promote, deploy, roll back; nothing that makes a version
//   admin     everything, also users, nodes and what is removed for good
enum class Role { kViewer, kTrainer, kApprover, kAdmin };

// "viewer", "trainer", "approver", "admin". INVALID_ARGUMENT with the nearest name for another.
Role parse_role(const std::string& name);
std::string role_name(Role role);

// `verb` is "resource.action", such as "job.submit" or "version.promote". A verb that the table does not know is
// allowed to nobody.
bool allowed(Role role, const std::string& verb);

// Every verb that the role may use, in alphabetical order.
std::vector<std::string> allowed_verbs(Role role);

}  // namespace masbak::policies
