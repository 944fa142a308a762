// Hosts with an agent.
#include "registry/store/enums.h"
#include "registry/store/json.h"
#include "registry/store/session.h"
#include "registry/store/writer.h"

namespace masbak::registry {
namespace {

constexpr char kSelectNode[] = "SELECT *, micros(last_sync_time) AS synced FROM nodes WHERE ";

Node parse_node(const pqxx::row& row) {
  return {.name = text(row, "name"),
          .address = text(row, "address"),
          .cpu_cores = small(row, "cpu_cores"),
          .memory_bytes = whole(row, "memory_bytes"),
          .gpus = from_json<std::vector<std::string>>(text(row, "gpus")),
          .running_tasks = small(row, "running_tasks"),
          .agent_version = text(row, "agent_version"),
          .state = parse_enum<NodeState>(text(row, "state"), node_state_name, 1, 3),
          .draining = truth(row, "draining"),
          .last_sync_time = instant(row, "synced")};
}

}  // namespace

Node Reader::get_node(const std::string& name) const {
  id_of("nodes", name);
  const pqxx::result rows = session().exec(std::string(kSelectNode) + "name = $1", name);
  if (rows.empty()) fail(base::Code::kNotFound, "there is no " + name + ": list the nodes to see which there are");
  return parse_node(rows[0]);
}

Page<Node> Reader::list_nodes(const PageRequest& page) const {
  return read_page<Node>(session(), "nodes", page, std::string(kSelectNode) + "{page}", "number", parse_node);
}

std::vector<Node> Reader::all_nodes() const {
  std::vector<Node> nodes;
  for (const pqxx::row& row : session().exec(std::string(kSelectNode) + "true ORDER BY name")) {
    nodes.push_back(parse_node(row));
  }
  return nodes;
}

Node Writer::sync_node(const Node& node) {
  id_of("nodes", node.name);
  const pqxx::result before = session().exec("SELECT state FROM nodes WHERE name = $1 FOR UPDATE", node.name);
  session().exec(
      "INSERT INTO nodes (name, address, cpu_cores, memory_bytes, gpus, running_tasks, agent_version, state, "
      "last_sync_time) VALUES ($1, $2, $3, $4, $5, $6, $7, 'READY', clock_timestamp()) "
      "ON CONFLICT (name) DO UPDATE SET address = $2, cpu_cores = $3, memory_bytes = $4, gpus = $5, "
      "running_tasks = $6, "
      "agent_version = $7, state = CASE WHEN nodes.draining THEN 'DRAINING' ELSE 'READY' END, "
      "last_sync_time = clock_timestamp()",
      node.name, node.address, node.cpu_cores, node.memory_bytes, base::Json(node.gpus).dump(), node.running_tasks,
      node.agent_version);
  if (before.empty() || text(before[0], "state") == "LOST") {
    session().record("node.join", node.name, {{"address", node.address}, {"agent_version", node.agent_version}});
  }
  return get_node(node.name);
}

std::vector<Node> Writer::mark_lost_nodes(std::chrono::milliseconds silent_for) {
  std::vector<Node> lost;
  const pqxx::result rows = session().exec(
      "UPDATE nodes SET state = 'LOST' WHERE state <> 'LOST' AND "
      "last_sync_time < clock_timestamp() - $1::bigint * interval '1 millisecond' RETURNING name",
      static_cast<int64_t>(silent_for.count()));
  for (const pqxx::row& row : rows) {
    lost.push_back(get_node(text(row, "name")));
    session().record("node.lost", lost.back().name);
  }
  return lost;
}

Node Writer::set_node_draining(const std::string& name, bool draining) {
  const Node node = get_node(name);
  session().exec(
      "UPDATE nodes SET draining = $2, state = CASE WHEN state = 'LOST' THEN 'LOST' WHEN $2 THEN 'DRAINING' "
      "ELSE 'READY' END WHERE name = $1",
      name, draining);
  if (node.draining != draining) session().record(draining ? "node.drain" : "node.resume", name);
  return get_node(name);
}

}  // namespace masbak::registry
