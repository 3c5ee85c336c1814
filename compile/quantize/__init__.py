"""Lower precisions: ranges, Q/DQ nodes, candidates, and the choice among them."""
