"""What runs a model: one module a library, a literal table, and nothing imported before it is asked for."""
