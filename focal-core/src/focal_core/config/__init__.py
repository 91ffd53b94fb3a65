"""Agent configuration: agents, rules, scenarios, templates, variables, tools, migration plans."""
