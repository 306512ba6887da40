"""Where buckets and objects are stored: the port, the storage on disk, and the one in moto's memory."""
