"""What each OSS operation reads, checks, does and answers. ``oss_routes`` lists all of them."""
