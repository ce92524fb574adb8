"""What records are written in: one module a format, each with a decoder that makes batches."""
