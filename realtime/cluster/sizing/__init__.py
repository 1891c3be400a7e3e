"""How large a cluster has to be: simulate, plan, measure, check."""
