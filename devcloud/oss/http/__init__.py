"""HTTP as OSS speaks it: requests, headers, XML bodies and replies."""
