"""Latency, throughput and size, beside others."""
