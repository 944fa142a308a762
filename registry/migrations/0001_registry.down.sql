DROP TABLE audit_head, audit, requests, tokens, users, nodes, revisions, deployments, gate_reports, reports,
  approvals, alias_history, aliases, versions, job_events, jobs, models, base_models, datasets, installation;
DROP FUNCTION refuse_change();
DROP FUNCTION micros(timestamptz);
