"""What is measured, and against whom; each module runs as `python -m bench.NAME` on a PostgreSQL of its own."""
