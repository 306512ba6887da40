"""The front: what each OSS operation reads, checks, does and answers, over any storage."""
